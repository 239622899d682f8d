"""What jobs ask for: demand misses at once, guests sent home, and further replicas for long queues."""

from __future__ import annotations

from modelpool.resources.spec import Policy
from modelpool_operator.planner.draft import Draft
from modelpool_operator.planner.evictions import Trouble, bring_in, cheapest_eviction, within_load_limit
from modelpool_operator.planner.gates import (
    MISS_GATES,
    REPLICA_GATES,
    ROTATION_GATES,
    Swap,
    Wish,
    first_refusal,
    first_swap_refusal,
)
from modelpool_operator.planner.outcome import HeldReason, Reason


def serve_misses(draft: Draft) -> None:
    """A queued job whose model is hot nowhere: load at once where it costs least. No hysteresis, no cooldown."""
    for model in draft.misses():
        slots = draft.possible_slots(model)
        refusal = first_refusal(MISS_GATES, draft, Wish(model, slots))
        if refusal is not None:
            draft.hold(model.name, *refusal)
            continue
        best, second = cheapest_eviction(draft, model, within_load_limit(draft, model, slots), Trouble.BUSY)
        if best is None:
            sentence = f"{model.name} waits: every slot for it is busy, or in the turn of a model with jobs of its own"
            draft.hold(model.name, HeldReason.ALL_SLOTS_BUSY, sentence)
            continue
        jobs = "1 job waits" if model.queued == 1 else f"{model.queued} jobs wait"
        bring_in(draft, best, second, model, Reason.DEMAND_MISS, f"{jobs} for {model.name}, which was hot nowhere")


def send_guests_home(draft: Draft) -> None:
    """A lent slot that serves its own tier again holds no guests."""
    for tier in draft.tiers.values():
        if tier.policy is not Policy.ON_DEMAND or not draft.has_demand(tier):
            continue
        for slot in (draft.slots[name] for name in tier.slots):
            guests = [name for name in draft.hot[slot.name] if draft.is_guest(slot, name)]
            if len(guests) < len(draft.hot[slot.name]):
                for name in guests:
                    draft.unload(slot, name, Reason.GO_HOME, f"{slot.name} is needed by its own tier {tier.name}")


def add_replicas(draft: Draft) -> None:
    """Another replica when the queue of each is longer than a load takes and a job lasts."""
    for model in list(draft.models.values()):
        replicas = draft.ready[model.name]
        if not model.queued or replicas == 0 or replicas < len(draft.holders[model.name]):
            continue
        backlog = model.queued_work / replicas
        slots = [slot for slot in draft.possible_slots(model) if model.name not in draft.hot[slot.name]]
        if not slots or backlog <= min(model.warm_load, model.cold_load) + model.service:
            continue
        refusal = first_refusal(ROTATION_GATES, draft, Wish(model, slots))
        if refusal is not None:
            draft.hold(model.name, *refusal, demanded=False)
            continue
        best, second = cheapest_eviction(draft, model, within_load_limit(draft, model, slots), Trouble.IDLE)
        if best is None or backlog <= best.load + model.service:
            continue
        refusal = first_swap_refusal(REPLICA_GATES, draft, Swap(model, best, 0.0))
        if refusal is not None:
            draft.hold(model.name, *refusal, demanded=False)
            continue
        sentence = f"{backlog:.1f} s of work wait at each replica of {model.name}, more than a load and a job take"
        bring_in(draft, best, second, model, Reason.EXTRA_REPLICA, sentence)
