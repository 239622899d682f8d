"""Pools and worker pods as they were last seen: fed by events, mended by listing. No lost event matters for long."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType

from modelpool.resources.pool import PoolRef
from modelpool_operator.cluster.port import MODEL_POOL, POD, Cluster, Kind, Manifest, version_of
from modelpool_operator.runtimes.pods.spec import COMMON_LABELS, POOL_LABEL

_Place = tuple[str, str]
"""Namespace and name."""


class Sightings:
    """``notify`` is told which pool something has happened to that may call for action."""

    def __init__(self, notify: Callable[[PoolRef], None]) -> None:
        self.complete = False
        """Everything has been listed once."""
        self._notify = notify
        self._pools: dict[PoolRef, Manifest] = {}
        self._staying: dict[PoolRef, Manifest] = {}
        """Of these, those that are not being deleted."""
        self._pods: dict[PoolRef, dict[str, Manifest]] = {}
        self._pool_of: dict[_Place, PoolRef] = {}
        """Of each pod."""
        self._gone: dict[tuple[str, _Place], int] = {}
        """Resource versions of deletions that no listing has confirmed yet."""

    def pools(self) -> Mapping[PoolRef, Manifest]:
        """Every pool that is not being deleted, as it is seen from now on."""
        return MappingProxyType(self._staying)

    def pods(self, ref: PoolRef) -> Sequence[Manifest]:
        """The worker pods of a pool, in order of their names."""
        return [pod for _, pod in sorted(self._pods.get(ref, {}).items())]

    def saw(self, event: str | None, kind: Kind, item: Manifest) -> None:
        """Take in a watch event; ``event`` is None for an object of a listing."""
        place = _place(item)
        if event == "DELETED":
            self._gone[kind.name, place] = version_of(item)
            self._remove(kind, place, version_of(item))
        elif version_of(item) > self._gone.get((kind.name, place), -1):
            self._store(kind, place, item)

    async def refresh(self, cluster: Cluster, namespaces: Iterable[str]) -> None:
        """List everything, in these namespaces or, without any, in all.

        :raises modelpool_operator.cluster.port.ApiUnavailable: it cannot be listed now.
        :raises modelpool_operator.cluster.port.ApiNotFound: the cluster knows no ModelPools.
        """
        scopes: list[str | None] = [*namespaces] or [None]
        for kind, labels in ((MODEL_POOL, None), (POD, COMMON_LABELS)):
            for namespace in scopes:
                listing = await cluster.list(kind, namespace, labels)
                for item in listing.items:
                    self.saw(None, kind, item)
                there = {_place(item) for item in listing.items}
                for place in self._places(kind):
                    if place not in there and namespace in (None, place[0]):
                        self._remove(kind, place, listing.resource_version)
                self._gone = {
                    key: version
                    for key, version in self._gone.items()
                    if key[0] != kind.name or version > listing.resource_version
                }
        self.complete = True

    # --- inside ---------------------------------------------------------------------------------------------------

    def _store(self, kind: Kind, place: _Place, item: Manifest) -> None:
        if kind == MODEL_POOL:
            ref, old = PoolRef(*place), self._pools.get(PoolRef(*place))
            if old is None or version_of(old) < version_of(item):
                self._pools[ref] = item
                if item["metadata"].get("deletionTimestamp"):
                    self._staying.pop(ref, None)
                else:
                    self._staying[ref] = item
                if old is None or _substance(old) != _substance(item):
                    self._notify(ref)
            return
        ref, before = _owner_of(item), self._pool_of.get(place)
        if before not in (None, ref):
            del self._pods[before][place[1]]
            self._notify(before)
        self._pool_of[place] = ref
        pods = self._pods.setdefault(ref, {})
        old = pods.get(place[1])
        if old is None or version_of(old) < version_of(item):
            pods[place[1]] = item
            self._notify(ref)

    def _remove(self, kind: Kind, place: _Place, version: int) -> None:
        """Unless it has been seen since, as a newer object of the same name."""
        if kind == MODEL_POOL:
            ref = PoolRef(*place)
            if ref in self._pools and version_of(self._pools[ref]) <= version:
                del self._pools[ref]
                self._staying.pop(ref, None)
                self._notify(ref)
            return
        owner = self._pool_of.get(place)
        if owner is not None and version_of(self._pods[owner][place[1]]) <= version:
            del self._pods[owner][place[1]], self._pool_of[place]
            self._notify(owner)

    def _places(self, kind: Kind) -> list[_Place]:
        if kind == MODEL_POOL:
            return [(ref.namespace, ref.name) for ref in self._pools]
        return list(self._pool_of)


def _place(item: Manifest) -> _Place:
    return item["metadata"]["namespace"], item["metadata"]["name"]


def _substance(pool: Manifest) -> tuple[object, ...]:
    """What of a pool calls for action when it changes; our own writing of the status does not."""
    metadata = pool["metadata"]
    epoch = (pool.get("status") or {}).get("epoch")
    return metadata["uid"], metadata.get("generation"), bool(metadata.get("deletionTimestamp")), epoch


def _owner_of(pod: Manifest) -> PoolRef:
    """By its owner, which nobody edits by accident, or else by its label."""
    metadata = pod["metadata"]
    owners = [owner["name"] for owner in metadata.get("ownerReferences") or () if owner.get("kind") == MODEL_POOL.name]
    name = owners[0] if owners else (metadata.get("labels") or {}).get(POOL_LABEL, "")
    return PoolRef(metadata["namespace"], name)
