"""The hands of a pool's pod runtime: each action as requests to the API server, which others may have overtaken."""

from __future__ import annotations

import logging
from collections.abc import Callable

from modelpool.resources.spec import ModelPool
from modelpool_operator.cluster.port import (
    POD,
    RESOURCE_CLAIM_TEMPLATE,
    SECRET,
    ApiConflict,
    ApiNotFound,
    ApiRefused,
    Cluster,
    Manifest,
)
from modelpool_operator.cluster.sightings import Sightings
from modelpool_operator.runtimes.pods.facts import SeenPod
from modelpool_operator.runtimes.pods.plan import PodAction, PodReason, PodVerb, Wanted, repair_of
from modelpool_operator.runtimes.pods.seen import seen_pod
from modelpool_operator.runtimes.pods.spec import TEMPLATE_HASH, Setting, claim_template_of, owner_of, secret_of

log = logging.getLogger(__name__)

PREPARED_MS = 10_000
"""What pods refer to is looked after again only after so long, however many are made: somebody may have deleted it."""
UNDERWAY_MS = 10_000
"""A deletion that has been asked for is not asked for again so soon: the news of it is on its way."""


class PodHands:
    """``now`` gives Unix milliseconds; what is done is seen at once in ``sightings``."""

    def __init__(self, setting: Setting, cluster: Cluster, sightings: Sightings, now: Callable[[], int]) -> None:
        self._setting = setting
        self._cluster = cluster
        self._sightings = sightings
        self._now = now
        self._accepted: set[str] = set()
        """Hashes of templates that the API server would take."""
        self._underway: dict[str, int] = {}
        """By uid of a pod: since when it is being deleted."""
        self._prepared: tuple[str, int] | None = None
        """Name of the claim template, and when it and the Secret were made."""

    def are_at(self, action: PodAction) -> bool:
        """Whether the action's pod is being deleted already."""
        self._underway = {uid: since for uid, since in self._underway.items() if self._now() - since < UNDERWAY_MS}
        return action.uid in self._underway

    async def prepare(self, pool: ModelPool) -> None:
        """See that what pods refer to is there before they are.

        :raises ApiUnavailable: the API server is away.
        :raises ApiRefused: they cannot be made.
        """
        template = claim_template_of(pool, self._setting)
        name = template["metadata"]["name"] if template is not None else ""
        if self._prepared is not None and self._prepared[0] == name and self._now() - self._prepared[1] < PREPARED_MS:
            return
        try:
            await self._cluster.apply(SECRET, secret_of(pool, self._setting))
            if template is not None:
                await self._cluster.create(RESOURCE_CLAIM_TEMPLATE, template)
        except ApiConflict:
            log.debug("claim template %s is there already", name)
        except ApiRefused as error:
            raise ApiRefused(f"what it refers to cannot be made: {error.message}") from error
        except ApiNotFound as error:
            what = (
                "gpu.mode ResourceClaim needs resource.k8s.io/v1" if template is not None else "is the namespace gone?"
            )
            raise ApiRefused(f"what it refers to cannot be made: {error.message}; {what}") from error
        self._prepared = (name, self._now())

    async def do(self, pool: ModelPool, wanted: Wanted | None, pod: SeenPod | None, action: PodAction) -> bool:
        """Do one action; True: it was done, and not found to be done or overtaken.

        :raises ApiRefused: the API server will not do it.
        :raises ApiUnavailable: the API server is away.
        """
        if action.verb is PodVerb.CREATE and wanted is not None:
            return await self._create(pool, wanted)
        if pod is None:
            return False
        if action.verb is PodVerb.REPAIR and wanted is not None:
            return await self._repair(pool, wanted, pod)
        if action.reason is PodReason.OUTDATED and wanted is not None:
            await self.prepare(pool)
            if not await self._would_be_taken(wanted):
                return False
        return await self._delete(pool, pod, force=action.verb is PodVerb.FORCE_DELETE)

    async def _create(self, pool: ModelPool, wanted: Wanted) -> bool:
        try:
            made = await self._cluster.create(POD, wanted.manifest)
        except ApiConflict:
            return await self._meet(pool, wanted)
        self._accepted.add(hash_of(wanted.manifest))
        self._sightings.saw("ADDED", POD, made)
        return True

    async def _meet(self, pool: ModelPool, wanted: Wanted) -> bool:
        """There is a pod of this name that was not seen: the news is on its way, or somebody has edited its labels."""
        found = await self._cluster.get(POD, pool.metadata.namespace, wanted.name)
        if found is None:
            return False
        owners = {owner["uid"] for owner in found["metadata"].get("ownerReferences") or ()}
        ours = owner_of(pool, self._setting.pool_uid)["uid"]
        if ours in owners or hash_of(found):
            mended = repair_of(wanted, seen_pod(found))
            if mended:
                found = await self._cluster.patch(POD, pool.metadata.namespace, wanted.name, mended)
            self._sightings.saw("MODIFIED", POD, found)
            return bool(mended)
        raise ApiRefused(f"a pod called {wanted.name} exists that is not modelpool's; delete it or rename the tier")

    async def _repair(self, pool: ModelPool, wanted: Wanted, pod: SeenPod) -> bool:
        try:
            found = await self._cluster.patch(POD, pool.metadata.namespace, pod.name, repair_of(wanted, pod))
        except (ApiNotFound, ApiConflict):
            return False
        self._sightings.saw("MODIFIED", POD, found)
        return True

    async def _would_be_taken(self, wanted: Wanted) -> bool:
        """Nobody who serves is deleted for a successor that the API server will not have."""
        if hash_of(wanted.manifest) in self._accepted:
            return True
        probe: Manifest = {
            **wanted.manifest,
            "metadata": {**wanted.manifest["metadata"], "name": f"{wanted.name}-dry-run"},
        }
        try:
            await self._cluster.create(POD, probe, dry_run=True)
        except ApiConflict:
            log.debug("a pod called %s-dry-run exists", wanted.name)
        except ApiRefused as error:
            if "exceeded quota" not in error.message:  # the old pod counts, too
                raise ApiRefused(error.message.replace(f"{wanted.name}-dry-run", wanted.name)) from error
        self._accepted.add(hash_of(wanted.manifest))
        return True

    async def _delete(self, pool: ModelPool, pod: SeenPod, *, force: bool) -> bool:
        namespace = pool.metadata.namespace
        try:
            await self._cluster.delete(POD, namespace, pod.name, uid=pod.uid, force=force)
        except (ApiNotFound, ApiConflict):
            # It is gone, and perhaps there is another of its name.
            found = await self._cluster.get(POD, namespace, pod.name)
            gone = {"metadata": {**pod.metadata, "namespace": namespace}}
            self._sightings.saw("DELETED" if found is None else "MODIFIED", POD, found or gone)
            return False
        self._underway[pod.uid] = self._now()
        return True


def hash_of(pod: Manifest) -> str:
    """The hash of the template that a pod was made from; empty when it carries none."""
    return str((pod["metadata"].get("annotations") or {}).get(TEMPLATE_HASH, ""))
