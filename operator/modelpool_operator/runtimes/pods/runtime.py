"""The runtime of a cluster: looks at a pool's pods, lets :mod:`plan` decide, and does what it says."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from modelpool.documents import Heartbeat
from modelpool.errors import InvalidSpec, QueueUnavailable
from modelpool.resources.catalog import pool_ref
from modelpool.resources.spec import ModelPool, Policy
from modelpool.slots import DesiredSlots, ObservedSlot, ObservedSlots, RuntimeProblem, SlotPhase
from modelpool_operator.cluster.port import ApiRefused, ApiUnavailable, Cluster, Manifest
from modelpool_operator.cluster.sightings import Sightings
from modelpool_operator.runtimes.pods.facts import SeenPod
from modelpool_operator.runtimes.pods.hands import PodHands, hash_of
from modelpool_operator.runtimes.pods.plan import PodAction, PodReason, PodSituation, PodVerb, Wanted, pod_plan
from modelpool_operator.runtimes.pods.seen import seen_pod
from modelpool_operator.runtimes.pods.spec import Setting, pod_of
from modelpool_operator.runtimes.port import RuntimeUnavailable

log = logging.getLogger(__name__)

AGAIN_MS = 10_000
"""Between two attempts at what the API server has refused."""
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
        self._hands = PodHands(setting, cluster, sightings, now)
        self._sightings = sightings
        self._heartbeats = heartbeats
        self._fence = fence
        self._now = now
        self._made: tuple[ModelPool, DesiredSlots, tuple[Wanted, ...]] | None = None
        self._seen: dict[str, tuple[Manifest, SeenPod]] = {}
        """By uid."""
        self._refused: dict[str, _Refusal] = {}
        """By slot: what the API server would not do."""

    async def apply(self, desired: DesiredSlots) -> ObservedSlots:
        """See :class:`modelpool_operator.runtimes.port.Runtime`.

        :raises StaleEpoch: a newer operator is in charge.
        """
        pool = self._pool()
        pods = {pod.name: pod for pod in self._look(pool)}
        try:
            wanted = self._wanted(pool, desired)
        except InvalidSpec as error:
            return self._observed(desired, pods, (RuntimeProblem(reason="InvalidSpec", message=error.message),), "")
        situation = self._situation(pool, wanted, pods)
        actions = pod_plan(situation)
        if any(action.verb not in (PodVerb.CREATE, PodVerb.REPAIR) for action in actions):
            actions = pod_plan(await self._with_beats(pool, situation))
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

    def _look(self, pool: ModelPool) -> Sequence[SeenPod]:
        """The pool's pods. One whose manifest is the same as last time is not read again."""
        manifests = self._sightings.pods(pool_ref(pool))
        known, self._seen = self._seen, {}
        for manifest in manifests:
            uid = manifest["metadata"]["uid"]
            old = known.get(uid)
            self._seen[uid] = old if old is not None and old[0] is manifest else (manifest, seen_pod(manifest))
        return [seen for _, seen in self._seen.values()]

    def _situation(self, pool: ModelPool, wanted: tuple[Wanted, ...], pods: Mapping[str, SeenPod]) -> PodSituation:
        """Without a look at who serves, which few decisions need."""
        return PodSituation(
            now=self._now(),
            wanted=wanted,
            pods=pods,
            node_lost_ms=pool.spec.gpu.node_lost_seconds * 1000,
            beating=None,
            serving=None,
            always=frozenset(tier.name for tier in pool.spec.tiers if tier.policy is Policy.ALWAYS),
        )

    async def _with_beats(self, pool: ModelPool, situation: PodSituation) -> PodSituation:
        """Who reports, and who serves all that its tier must always hold; as it was while Redis is away."""
        pods = situation.pods
        try:
            beats = await self._heartbeats(list(pods))
        except QueueUnavailable:
            return situation
        alive = {slot: beat for slot, beat in beats.items() if not beat.draining}
        needed = {
            tier.name: {model.name for model in tier.models}
            for tier in pool.spec.tiers
            if tier.name in situation.always
        }
        serving = {slot for slot, beat in alive.items() if needed.get(pods[slot].tier, set()) <= set(beat.hot)}
        return replace(situation, beating=frozenset(beats), serving=frozenset(serving))

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
        todo = [action for action in actions if action.verb is not PodVerb.WAIT and not self._is_early(action)]
        if todo:
            await self._check_epoch(epoch)
        creating = any(action.verb is PodVerb.CREATE for action in todo)
        lacking = any(pod.reason.startswith(NO_SECRET) for pod in pods.values())
        if creating or lacking:
            try:
                await self._hands.prepare(pool)
            except ApiRefused as error:
                for action in todo:
                    if action.verb is PodVerb.CREATE:
                        self._refuse(action.slot, _hash(by_name.get(action.slot)), error.message)
                todo = [action for action in todo if action.verb is not PodVerb.CREATE]
        for action in todo:
            try:
                if await self._hands.do(pool, by_name.get(action.slot), pods.get(action.slot), action):
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
        return self._hands.are_at(action) or (refused is not None and self._now() - refused.at < AGAIN_MS)

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
    return hash_of(wanted.manifest) if wanted is not None else ""
