"""A cluster in memory: what the API server, the garbage collector and a kubelet do, as far as the operator can see it.

Objects are kept and handed out as copies. Deleting a pod only marks it, as in life, until :meth:`FakeCluster.finish`
plays the kubelet. Nothing is validated but what :attr:`FakeCluster.refuses` says.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from modelpool_operator.cluster.port import (
    MODEL_POOL,
    POD,
    ApiConflict,
    ApiNotFound,
    ApiRefused,
    ApiUnavailable,
    Kind,
    Listing,
    Manifest,
)

Watcher = Callable[[str, Kind, Manifest], None]
"""Told ``ADDED``, ``MODIFIED`` or ``DELETED``, and the object."""

_Key = tuple[str, str, str]


class FakeCluster:
    """See :class:`modelpool_operator.cluster.port.Cluster`."""

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.away = False
        self.refuses: Callable[[Kind, Manifest], str | None] = lambda kind, manifest: None
        """Why the API server will not have an object; None when it will."""
        self.writes: list[tuple[str, str, str]] = []
        """Verb, kind and name of every write that was let through, dry runs apart."""
        self.watchers: list[Watcher] = []
        self._now = now
        self._objects: dict[_Key, Manifest] = {}
        self._version = 100
        self._uids = 0

    # --- the port -------------------------------------------------------------------------------------------------

    async def list(self, kind: Kind, namespace: str | None = None, labels: Mapping[str, str] | None = None) -> Listing:
        """See the port."""
        self._answer()
        found = [
            copy.deepcopy(item)
            for (name, space, _), item in sorted(self._objects.items())
            if name == kind.name
            and namespace in (None, space)
            and (labels or {}).items() <= item["metadata"].get("labels", {}).items()
        ]
        return Listing(tuple(found), self._version)

    async def get(self, kind: Kind, namespace: str, name: str) -> Manifest | None:
        """See the port."""
        self._answer()
        return self.find(kind, namespace, name)

    async def create(self, kind: Kind, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        """See the port."""
        self._answer(kind, manifest)
        key = _key(kind, manifest)
        if key in self._objects:
            raise ApiConflict(f'{kind.plural} "{key[2]}" already exists')
        if dry_run:
            return copy.deepcopy(manifest)
        made = copy.deepcopy(manifest)
        self._uids += 1
        made["metadata"] |= {"uid": f"uid-{self._uids}", "creationTimestamp": _text(self._now()), "generation": 1}
        if kind == POD:
            made.setdefault("status", {"phase": "Pending"})
        self.writes.append(("create", kind.name, key[2]))
        return self._store("ADDED", kind, made)

    async def patch(
        self, kind: Kind, namespace: str, name: str, change: Manifest, *, subresource: str = ""
    ) -> Manifest:
        """See the port."""
        self._answer()
        found = self._find(kind, namespace, name)
        wanted_uid = change.get("metadata", {}).get("uid", found["metadata"]["uid"])
        if not subresource and wanted_uid != found["metadata"]["uid"]:  # of a status, metadata are passed over
            raise ApiConflict(f'{kind.plural} "{name}": the UID in the precondition is another')
        kept = {"status"} if subresource == "status" else set(change) - ({"status"} if kind == MODEL_POOL else set())
        merged = merge_patch(found, {key: value for key, value in change.items() if key in kept})
        if merged == found:
            return copy.deepcopy(found)
        if kind == MODEL_POOL and merged.get("spec") != found.get("spec"):
            merged["metadata"]["generation"] = found["metadata"]["generation"] + 1
        self.writes.append(("patch", "/".join(part for part in (kind.name, subresource) if part), name))
        return self._store("MODIFIED", kind, merged)

    async def apply(self, kind: Kind, manifest: Manifest) -> Manifest:
        """See the port. Fields are not owned here: what is left out stays."""
        self._answer(kind, manifest)
        if _key(kind, manifest) not in self._objects:
            return await self.create(kind, manifest)
        found = self._objects[_key(kind, manifest)]
        merged = merge_patch(found, manifest)
        if merged == found:
            return copy.deepcopy(found)
        self.writes.append(("apply", kind.name, manifest["metadata"]["name"]))
        return self._store("MODIFIED", kind, merged)

    async def delete(self, kind: Kind, namespace: str, name: str, *, uid: str, force: bool = False) -> None:
        """See the port. A pod without a node goes at once, as in life."""
        self._answer()
        found = self._find(kind, namespace, name)
        if found["metadata"]["uid"] != uid:
            raise ApiConflict(f'{kind.plural} "{name}": the UID in the precondition is another')
        self.writes.append(("force-delete" if force else "delete", kind.name, name))
        if kind == POD and found["spec"].get("nodeName") and not force:
            if "deletionTimestamp" not in found["metadata"]:
                grace = found["spec"].get("terminationGracePeriodSeconds", 30)
                ends = datetime.fromtimestamp(self._now().timestamp() + grace, UTC)
                found["metadata"] |= {"deletionTimestamp": _text(ends), "deletionGracePeriodSeconds": grace}
                self._store("MODIFIED", kind, found)
            return
        self.remove(kind, namespace, name)

    async def close(self) -> None:
        """See the port."""

    # --- what others do in a cluster ------------------------------------------------------------------------------

    def find(self, kind: Kind, namespace: str, name: str) -> Manifest | None:
        """A copy of an object."""
        return copy.deepcopy(self._objects.get((kind.name, namespace, name)))

    def change(self, kind: Kind, namespace: str, name: str, change: Manifest) -> None:
        """Somebody else merges ``change`` into an object."""
        self._store("MODIFIED", kind, merge_patch(self._find(kind, namespace, name), change))

    def remove(self, kind: Kind, namespace: str, name: str) -> None:
        """The object is gone, and so is what it owned."""
        gone = self._objects.pop((kind.name, namespace, name))
        self._version += 1
        gone["metadata"]["resourceVersion"] = str(self._version)
        self._tell("DELETED", kind, gone)
        for (other, space, owned), item in list(self._objects.items()):
            owners = {owner["uid"] for owner in item["metadata"].get("ownerReferences", ())}
            if gone["metadata"]["uid"] in owners and (other, space, owned) in self._objects:
                self.remove(Kind(item["apiVersion"], other, ""), space, owned)

    def finish(self, namespace: str, name: str) -> None:
        """The kubelet has ended a pod that was being deleted."""
        if "deletionTimestamp" not in self._find(POD, namespace, name)["metadata"]:
            raise ValueError(f"pod {name} is not being deleted")
        self.remove(POD, namespace, name)

    def run(self, namespace: str, name: str, node: str = "node-1") -> None:
        """The scheduler and the kubelet have brought a pod up."""
        self.change(POD, namespace, name, {"spec": {"nodeName": node}, "status": ready_status()})

    # --- inside ---------------------------------------------------------------------------------------------------

    def _answer(self, kind: Kind | None = None, manifest: Manifest | None = None) -> None:
        if self.away:
            raise ApiUnavailable("the API server cannot be reached: it is on holiday")
        if kind is not None and manifest is not None and (why := self.refuses(kind, manifest)):
            raise ApiRefused(why)

    def _find(self, kind: Kind, namespace: str, name: str) -> Manifest:
        found = self._objects.get((kind.name, namespace, name))
        if found is None:
            raise ApiNotFound(f'{kind.plural} "{name}" not found')
        return found

    def _store(self, event: str, kind: Kind, item: Manifest) -> Manifest:
        self._version += 1
        item["metadata"]["resourceVersion"] = str(self._version)
        self._objects[_key(kind, item)] = item
        self._tell(event, kind, item)
        return copy.deepcopy(item)

    def _tell(self, event: str, kind: Kind, item: Manifest) -> None:
        for watcher in self.watchers:
            watcher(event, kind, copy.deepcopy(item))


def ready_status() -> Manifest:
    """The status of a pod whose one container ``worker`` is ready."""
    return {
        "phase": "Running",
        "conditions": [
            {"type": "PodScheduled", "status": "True"},
            {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"},
        ],
        "containerStatuses": [{"name": "worker", "ready": True, "restartCount": 0, "state": {"running": {}}}],
    }


def merge_patch(target: Any, change: Any) -> Any:
    """JSON merge patch, RFC 7386: null removes, lists are replaced. Neither argument is changed."""
    if not isinstance(change, dict):
        return copy.deepcopy(change)
    merged = copy.deepcopy(target) if isinstance(target, dict) else {}
    for key, value in change.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def _key(kind: Kind, manifest: Manifest) -> _Key:
    return kind.name, manifest["metadata"]["namespace"], manifest["metadata"]["name"]


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
