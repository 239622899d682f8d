"""The runtime of a cluster: looks at a pool's pods, lets :mod:`plan` decide, and does what it says."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from modelpool.documents import Heartbeat
from modelpool.errors import InvalidSpec, QueueUnavailable
from modelpool.resources.catalog import pool_ref
from modelpool.resources.spec import ModelPool, Policy
from modelpool.slots import DesiredSlots, ObservedSlot, ObservedSlots, RuntimeProblem, SlotPhase
from modelpool_operator.cluster.port import (
    POD,
    RESOURCE_CLAIM_TEMPLATE,
    SECRET,
    ApiConflict,
    ApiNotFound,
    ApiRefused,
    ApiUnavailable,
    Cluster,
    Manifest,
)
from modelpool_operator.cluster.sightings import Sightings
from modelpool_operator.runtimes.pods.facts import SeenPod
from modelpool_operator.runtimes.pods.plan import (
    PodAction,
    PodReason,
    PodSituation,
    PodVerb,
    Wanted,
    pod_plan,
    repair_of,
)
from modelpool_operator.runtimes.pods.seen import seen_pod
from modelpool_operator.runtimes.pods.spec import (
    TEMPLATE_HASH,
    Setting,
    claim_template_of,
    owner_of,
    pod_of,
    secret_of,
)
from modelpool_operator.runtimes.port import RuntimeUnavailable

log = logging.getLogger(__name__)

AGAIN_MS = 10_000
"""Between two attempts at what the API server has refused."""
UNDERWAY_MS = 10_000
"""A deletion that has been asked for is not asked for again so soon: the news of it is on its way."""
SECRET_MS = 600_000
"""After so long the workers' Secret is written again before a pod is made."""
NO_SECRET = "CreateContainerConfigError"  # noqa: S105  a reason of the kubelet

Heartbeats = Callable[[Sequence[str]], Awaitable[Mapping[str, Heartbeat]]]
Fence = Callable[[int], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Refusal:
    at: int
    template: str
    sentence: str


class PodRuntime:
    """The pods of one pool. ``now`` gives Unix milliseconds.

    ``heartbeats`` and ``fence`` ask Redis: who reports, and (with StaleEpoch) whether another operator is in charge.
    """

    def __init__(
        self,
        pool: Callable[[], ModelPool],
        setting: Setting,
        *,
        cluster: Cluster,
        sightings: Sightings,
        heartbeats: Heartbeats,
        fence: Fence,
        now: Callable[[], int],
    ) -> None:
        self._pool = pool
        self._setting = setting
        self._cluster = cluster
        self._sightings = sightings
        self._heartbeats = heartbeats
        self._fence = fence
        self._now = now
        self._made: tuple[ModelPool, DesiredSlots, tuple[Wanted, ...]] | None = None
        self._accepted: set[str] = set()
        """Hashes of templates that the API server would take."""
        self._refused: dict[str, _Refusal] = {}
        """By slot: what the API server would not do."""
        self._underway: dict[str, int] = {}
        """By uid of a pod: since when it is being deleted."""
        self._prepared: tuple[str, int] | None = None
        """Name of the claim template, and when it and the Secret were made."""

    async def apply(self, desired: DesiredSlots) -> ObservedSlots:
        """See :class:`modelpool_operator.runtimes.port.Runtime`.

        :raises StaleEpoch: a newer operator is in charge.
        """
        pool = self._pool()
        pods = {pod.name: pod for pod in map(seen_pod, self._sightings.pods(pool_ref(pool)))}
        try:
            wanted = self._wanted(pool, desired)
        except InvalidSpec as error:
            return self._observed(desired, pods, (RuntimeProblem(reason="InvalidSpec", message=error.message),), "")
        actions = pod_plan(await self._situation(pool, wanted, pods))
        try:
            await self._do_all(pool, wanted, pods, actions, desired.epoch)
        except ApiUnavailable as error:
            raise RuntimeUnavailable(error.message) from error
        return self._observed(desired, pods, tuple(self._problems(actions)), _rollout_of(actions))

    async def close(self) -> None:
        """The pods stay, and the connection is everybody's."""

    # --- looking --------------------------------------------------------------------------------------------------

    def _wanted(self, pool: ModelPool, desired: DesiredSlots) -> tuple[Wanted, ...]:
        if self._made is None or self._made[0] is not pool or self._made[1] != desired:
            made = tuple(Wanted(pod_of(pool, slot, self._setting), slot.tier) for slot in desired.slots)
            self._made = (pool, desired, made)
        return self._made[2]

    async def _situation(
        self, pool: ModelPool, wanted: tuple[Wanted, ...], pods: Mapping[str, SeenPod]
    ) -> PodSituation:
        always = {tier.name: tier for tier in pool.spec.tiers if tier.policy is Policy.ALWAYS}
        situation = PodSituation(
            now=self._now(),
            wanted=wanted,
            pods=pods,
            node_lost_ms=pool.spec.gpu.node_lost_seconds * 1000,
            beating=None,
            serving=None,
            always=frozenset(always),
        )
        if all(action.verb in (PodVerb.CREATE, PodVerb.REPAIR) for action in pod_plan(situation)):
            return situation  # nothing that depends on who serves
        try:
            beats = await self._heartbeats(list(pods))
        except QueueUnavailable:
            return situation
        alive = {slot: beat for slot, beat in beats.items() if not beat.draining}
        needed = {name: {model.name for model in tier.models} for name, tier in always.items()}
        serving = {slot for slot, beat in alive.items() if needed.get(pods[slot].tier, set()) <= set(beat.hot)}
        return PodSituation(
            now=situation.now,
            wanted=wanted,
            pods=pods,
            node_lost_ms=situation.node_lost_ms,
            beating=frozenset(beats),
            serving=frozenset(serving),
            always=situation.always,
        )

    # --- doing ----------------------------------------------------------------------------------------------------

    async def _do_all(
        self,
        pool: ModelPool,
        wanted: tuple[Wanted, ...],
        pods: Mapping[str, SeenPod],
        actions: Sequence[PodAction],
        epoch: int,
    ) -> None:
        by_name = {one.name: one for one in wanted}
        concerned = {action.slot for action in actions if action.verb is not PodVerb.WAIT}
        self._refused = {
            slot: refusal
            for slot, refusal in self._refused.items()
            if slot in concerned and refusal.template == _hash(by_name.get(slot))
        }
        self._underway = {uid: since for uid, since in self._underway.items() if self._now() - since < UNDERWAY_MS}
        todo = [action for action in actions if action.verb is not PodVerb.WAIT and not self._is_early(action)]
        if todo:
            await self._check_epoch(epoch)
        creating = any(action.verb is PodVerb.CREATE for action in todo)
        lacking = any(pod.reason.startswith(NO_SECRET) for pod in pods.values())
        if creating or lacking:
            await self._prepare(pool, SECRET_MS if creating and not lacking else AGAIN_MS)
        for action in todo:
            try:
                if await self._do(pool, by_name.get(action.slot), pods.get(action.slot), action):
                    self._refused.pop(action.slot, None)
                    extra = {"slot": action.slot, "reason": action.reason.value, "why": action.sentence}
                    log.info("pod: %s", action.verb.value, extra=extra)
            except ApiRefused as error:
                self._refuse(action.slot, _hash(by_name.get(action.slot)), error.message)

    async def _check_epoch(self, epoch: int) -> None:
        """Without Redis the names of pods, and the uids of those that go, have to keep two operators apart."""
        try:
            await self._fence(epoch)
        except QueueUnavailable as error:
            log.debug("pods are changed without a look at the epoch: %s", error.message)

    def _is_early(self, action: PodAction) -> bool:
        refused = self._refused.get(action.slot)
        return action.uid in self._underway or (refused is not None and self._now() - refused.at < AGAIN_MS)

    async def _prepare(self, pool: ModelPool, again_ms: int) -> None:
        """What pods refer to is there before they are."""
        template = claim_template_of(pool, self._setting)
        name = template["metadata"]["name"] if template is not None else ""
        if self._prepared is not None and self._prepared[0] == name and self._now() - self._prepared[1] < again_ms:
            return
        try:
            await self._cluster.apply(SECRET, secret_of(pool, self._setting))
            if template is not None:
                await self._cluster.create(RESOURCE_CLAIM_TEMPLATE, template)
        except ApiConflict:
            log.debug("claim template %s is there already", name)
        except ApiRefused as error:
            log.error("what pods refer to cannot be made", extra={"reason": error.message})
        self._prepared = (name, self._now())

    async def _do(self, pool: ModelPool, wanted: Wanted | None, pod: SeenPod | None, action: PodAction) -> bool:
        """True: it was done."""
        if action.verb is PodVerb.CREATE and wanted is not None:
            return await self._create(pool, wanted)
        if pod is None:
            return False
        if action.verb is PodVerb.REPAIR and wanted is not None:
            return await self._repair(pool, wanted, pod)
        if action.reason is PodReason.OUTDATED and wanted is not None and not await self._would_be_taken(wanted):
            return False
        return await self._delete(pool, pod, force=action.verb is PodVerb.FORCE_DELETE)

    async def _create(self, pool: ModelPool, wanted: Wanted) -> bool:
        try:
            made = await self._cluster.create(POD, wanted.manifest)
        except ApiConflict:
            return await self._meet(pool, wanted)
        self._accepted.add(_hash(wanted))
        self._sightings.saw("ADDED", POD, made)
        return True

    async def _meet(self, pool: ModelPool, wanted: Wanted) -> bool:
        """There is a pod of this name that was not seen: the news is on its way, or somebody has edited its labels."""
        found = await self._cluster.get(POD, pool.metadata.namespace, wanted.name)
        if found is None:
            return False
        owners = {owner["uid"] for owner in found["metadata"].get("ownerReferences") or ()}
        ours = owner_of(pool, self._setting.pool_uid)["uid"]
        if ours in owners or _hash_of(found):
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
        if _hash(wanted) in self._accepted:
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
        self._accepted.add(_hash(wanted))
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

    def _refuse(self, slot: str, template: str, sentence: str) -> None:
        known = self._refused.get(slot)
        if known is None or known.sentence != sentence:
            log.error("the API server refuses the pod", extra={"slot": slot, "reason": sentence})
        self._refused[slot] = _Refusal(self._now(), template, sentence)

    # --- telling --------------------------------------------------------------------------------------------------

    def _observed(
        self,
        desired: DesiredSlots,
        pods: Mapping[str, SeenPod],
        problems: tuple[RuntimeProblem, ...],
        rollout: str,
    ) -> ObservedSlots:
        slots = []
        for slot in desired.slots:
            if slot.slot in pods:
                slots.append(pods[slot.slot].observed())
                continue
            refused = self._refused.get(slot.slot)
            why = refused.sentence if refused is not None else ""
            slots.append(ObservedSlot(slot=slot.slot, tier=slot.tier, phase=SlotPhase.PENDING, reason=why))
        return ObservedSlots(pool=desired.pool, slots=tuple(slots), problems=problems, rollout=rollout)

    def _problems(self, actions: Sequence[PodAction]) -> list[RuntimeProblem]:
        found = [
            RuntimeProblem(reason="PodRefused", message=f"{slot}: the API server refuses its pod: {refusal.sentence}")
            for slot, refusal in sorted(self._refused.items())
        ]
        return found[:1] + [
            RuntimeProblem(reason=action.reason.value, message=f"The rollout has stopped: {action.sentence}")
            for action in actions
            if action.reason is PodReason.ROLLOUT_STOPPED
        ]


def _rollout_of(actions: Sequence[PodAction]) -> str:
    """The sentence of whoever is, or waits to be, replaced."""
    under_way = (PodReason.OUTDATED, PodReason.ROLLOUT, PodReason.LAST_OF_ITS_TIER, PodReason.ROLLOUT_STOPPED)
    return next((f"{action.slot}: {action.sentence}" for action in actions if action.reason in under_way), "")


def _hash(wanted: Wanted | None) -> str:
    return _hash_of(wanted.manifest) if wanted is not None else ""


def _hash_of(pod: Manifest) -> str:
    return str((pod["metadata"].get("annotations") or {}).get(TEMPLATE_HASH, ""))
