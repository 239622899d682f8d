"""Which pod comes, goes or waits next. Pure: from the pods that are there and those that are wanted to a list of actions.

A template change is delete, wait, create, one slot after the other, without a spare GPU:

1. what is being deleted is waited for, and by force deleted only when its node is lost;
2. what has ended is deleted; what is missing is created;
3. what no longer belongs to the pool is deleted, but of an Always tier never the last slot that serves it;
4. an outdated pod is replaced at once when it does not serve anyway, and otherwise one at a time: only when everything
   that was replaced before serves again, so that a template that does not work stops at its first slot. A worker that
   is restarting meanwhile comes back with the template that it has.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from modelpool.slots import SlotPhase
from modelpool_operator.cluster.port import MODEL_POOL, Manifest
from modelpool_operator.runtimes.pods.facts import SeenPod
from modelpool_operator.runtimes.pods.spec import OWN_LABELS, TEMPLATE_HASH


class PodVerb(StrEnum):
    """What to do about a slot's pod."""

    CREATE = "create"
    DELETE = "delete"
    FORCE_DELETE = "force delete"
    REPAIR = "repair"
    WAIT = "wait"


class PodReason(StrEnum):
    """Why."""

    MISSING = "Missing"
    ENDED = "Ended"
    NOT_WANTED = "NotWanted"
    OUTDATED = "Outdated"
    EDITED = "Edited"
    TERMINATING = "Terminating"
    NODE_LOST = "NodeLost"
    LAST_OF_ITS_TIER = "LastOfItsTier"
    ROLLOUT = "Rollout"
    ROLLOUT_STOPPED = "RolloutStopped"


@dataclass(frozen=True, slots=True)
class PodAction:
    """One thing to do, or to wait for. ``uid`` is the precondition of a deletion or repair."""

    verb: PodVerb
    slot: str
    reason: PodReason
    sentence: str
    uid: str = ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One slot's pod as it shall be."""

    manifest: Manifest
    tier: str

    @property
    def name(self) -> str:
        """The slot's and the pod's."""
        return str(self.manifest["metadata"]["name"])


@dataclass(frozen=True, slots=True)
class PodSituation:
    """Everything that is known. Moments are Unix milliseconds."""

    now: int
    wanted: Sequence[Wanted]
    pods: Mapping[str, SeenPod]
    """By name; all that belong to the pool."""
    node_lost_ms: int = 60_000
    beating: frozenset[str] | None = frozenset()
    """Slots whose worker reports; None when that is not known."""
    serving: frozenset[str] | None = frozenset()
    """Those among them that hold what their tier must hold; None when that is not known."""
    always: frozenset[str] = field(default_factory=frozenset)
    """Tiers that have to be served without a gap."""


def pod_plan(seen: PodSituation) -> tuple[PodAction, ...]:
    """What to do now, in order; slots about which there is nothing to say are left out."""
    wanted = {one.name: one for one in seen.wanted}
    actions = [action for one in seen.wanted if (action := _settle(seen, one, seen.pods.get(one.name)))]
    busy = {action.slot: action for action in actions if action.verb is not PodVerb.REPAIR}
    actions += [_surplus(seen, pod) for name, pod in seen.pods.items() if name not in wanted]
    return (*actions, *_rollout(seen, busy))


# --- one slot by itself -------------------------------------------------------------------------------------------


def _settle(seen: PodSituation, wanted: Wanted, pod: SeenPod | None) -> PodAction | None:
    if pod is None:
        return PodAction(PodVerb.CREATE, wanted.name, PodReason.MISSING, "the slot has no pod")
    if pod.deleted_at is not None:
        return _ending(seen, pod)
    if pod.ended:
        return PodAction(PodVerb.DELETE, pod.name, PodReason.ENDED, f"the pod is over ({pod.reason})", pod.uid)
    if repair_of(wanted, pod):
        return PodAction(PodVerb.REPAIR, pod.name, PodReason.EDITED, "somebody has edited its metadata", pod.uid)
    return None


def _ending(seen: PodSituation, pod: SeenPod) -> PodAction:
    if pod.deleted_at is None:
        raise ValueError(f"{pod.name} is not being deleted")
    silent = seen.beating is not None and pod.name not in seen.beating
    unready = pod.unready_since is not None and seen.now - pod.unready_since >= seen.node_lost_ms
    overdue = seen.now - pod.deleted_at >= seen.node_lost_ms
    if pod.node and silent and (overdue or (pod.node_lost and unready)):
        sentence = f"node {pod.node} has not ended it and its worker is silent; its leases will lapse"
        return PodAction(PodVerb.FORCE_DELETE, pod.name, PodReason.NODE_LOST, sentence, pod.uid)
    return PodAction(PodVerb.WAIT, pod.name, PodReason.TERMINATING, "the old pod finishes what it runs", pod.uid)


def _surplus(seen: PodSituation, pod: SeenPod) -> PodAction:
    if pod.deleted_at is not None:
        return _ending(seen, pod)
    kept = [one.name for one in seen.wanted if one.tier == pod.tier]
    if (
        pod.tier in seen.always
        and kept
        and _slot_serves(seen, pod.name)
        and not any(_slot_serves(seen, name) for name in kept)
    ):
        sentence = f"no other slot of tier {pod.tier} serves yet"
        return PodAction(PodVerb.WAIT, pod.name, PodReason.LAST_OF_ITS_TIER, sentence, pod.uid)
    return PodAction(PodVerb.DELETE, pod.name, PodReason.NOT_WANTED, "the pool has no such slot any more", pod.uid)


def repair_of(wanted: Wanted, pod: SeenPod) -> Manifest:
    """What of a pod's metadata has to be mended, as a merge patch; empty when it is as it was made.

    The template's hash is never mended: a pod without its own is one of an unknown template, and outdated.
    """
    made = wanted.manifest["metadata"]
    current = _current(wanted, pod)
    change: Manifest = {}
    for field_name in ("labels", "annotations"):
        found = pod.metadata.get(field_name) or {}
        ours = {key: value for key, value in made[field_name].items() if current or key in OWN_LABELS}
        if lacking := {key: value for key, value in ours.items() if found.get(key) != value}:
            change[field_name] = lacking
    owners = pod.metadata.get("ownerReferences") or []
    if {owner["uid"] for owner in made["ownerReferences"]} - {owner["uid"] for owner in owners}:
        others = [owner for owner in owners if owner.get("kind") != MODEL_POOL.name]
        change["ownerReferences"] = [*made["ownerReferences"], *others]
    return {"metadata": {"uid": pod.uid, **change}} if change else {}


def _current(wanted: Wanted, pod: SeenPod) -> bool:
    return bool(pod.template_hash == wanted.manifest["metadata"]["annotations"][TEMPLATE_HASH])


# --- one after the other ------------------------------------------------------------------------------------------


def _rollout(seen: PodSituation, busy: Mapping[str, PodAction]) -> list[PodAction]:
    standing = [(one, seen.pods[one.name]) for one in seen.wanted if one.name in seen.pods and one.name not in busy]
    outdated = [pod for one, pod in standing if not _current(one, pod)]
    updated = [pod for one, pod in standing if _current(one, pod)]
    idle = [pod for pod in outdated if not _may_serve(seen, pod)]
    if idle and _held(seen, {}, updated) is not None:
        # Whoever may come back by itself is not given up for a template that nobody has seen to work yet.
        idle = [pod for pod in idle if pod.phase not in (SlotPhase.STARTING, SlotPhase.RESTARTING)]
    if idle:
        sentence = "its template has changed, and it does not serve"
        return [PodAction(PodVerb.DELETE, pod.name, PodReason.OUTDATED, sentence, pod.uid) for pod in idle]
    if not outdated:
        return []
    held = _held(seen, busy, updated)
    if held is not None:
        reason, sentence = held
        return [PodAction(PodVerb.WAIT, outdated[0].name, reason, sentence, outdated[0].uid)]
    for pod in outdated:
        # A slot that only waits for a GPU can be no stand-in: it may get the very one that this one leaves.
        peers = [
            one.name
            for one in seen.wanted
            if one.tier == pod.tier
            and one.name != pod.name
            and not (one.name in seen.pods and _only_lacks_a_gpu(seen, seen.pods[one.name]))
        ]
        if pod.tier not in seen.always or not peers or any(_slot_serves(seen, name) for name in peers):
            return [PodAction(PodVerb.DELETE, pod.name, PodReason.OUTDATED, "its template has changed", pod.uid)]
    first = outdated[0]
    sentence = f"no other slot of tier {first.tier} serves yet"
    return [PodAction(PodVerb.WAIT, first.name, PodReason.LAST_OF_ITS_TIER, sentence, first.uid)]


def _held(
    seen: PodSituation, busy: Mapping[str, PodAction], updated: Iterable[SeenPod]
) -> tuple[PodReason, str] | None:
    """Why no serving slot may be replaced now."""
    if seen.beating is None or seen.serving is None:
        return PodReason.ROLLOUT, "Redis is away, so nobody knows which slots serve"
    if busy:
        return PodReason.ROLLOUT, f"{min(busy)} comes first"
    for pod in updated:
        if _slot_serves(seen, pod.name) or _only_lacks_a_gpu(seen, pod):
            continue
        if pod.phase in (SlotPhase.FAILED, SlotPhase.RESTARTING) or pod.unschedulable:
            sentence = f"{pod.name} does not come up with the new template: {pod.reason}"
            return PodReason.ROLLOUT_STOPPED, sentence
        return PodReason.ROLLOUT, f"{pod.name} has the new template and does not serve yet"
    return None


def _only_lacks_a_gpu(seen: PodSituation, pod: SeenPod) -> bool:
    """It waits for room, and what it demands of a node can be had: another pod that demands the same has got it."""
    same = (other for other in seen.pods.values() if other.placement_hash == pod.placement_hash)
    return pod.unschedulable and any(other.ready for other in same)


def _may_serve(seen: PodSituation, pod: SeenPod) -> bool:
    return pod.ready or (pod.phase is SlotPhase.STARTING and (seen.beating is None or pod.name in seen.beating))


def _slot_serves(seen: PodSituation, name: str) -> bool:
    pod = seen.pods.get(name)
    return pod is not None and pod.ready and seen.serving is not None and name in seen.serving
