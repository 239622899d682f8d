"""What nobody has asked for yet: free room is filled, and models are swapped ahead of demand."""

from __future__ import annotations

from modelpool.resources.spec import Policy
from modelpool_operator.planner.draft import Draft
from modelpool_operator.planner.evictions import Trouble, bring_in, cheapest_eviction, within_load_limit
from modelpool_operator.planner.gates import (
    MISS_GATES,
    ROTATION_GATES,
    SWAP_GATES,
    Swap,
    Wish,
    first_refusal,
    first_swap_refusal,
    gain_of,
    wanted_soon,
)
from modelpool_operator.planner.outcome import Reason
from modelpool_operator.planner.snapshot import ModelFacts, TierFacts


def fill_free_room(draft: Draft) -> None:
    """Rotate tiers start filled: each model once where there is room, then a model for each slot that has none."""
    for tier in draft.tiers.values():
        if tier.policy is Policy.ROTATE:
            _fill_with_absent(draft, tier)
            _fill_empty(draft, tier)


def _fill_with_absent(draft: Draft, tier: TierFacts) -> None:
    absent = [draft.models[name] for name in tier.models if not draft.holders[name]]
    coming = [draft.slots[name] for name in tier.slots if draft.slots[name].starting]
    for model in sorted(absent, key=lambda model: -model.rate):
        slots = draft.own_slots(model)
        if first_refusal(ROTATION_GATES, draft, Wish(model, slots)) is not None:
            continue
        roomy = [s for s in within_load_limit(draft, model, slots) if draft.fits_beside(s, model)]
        emptiest = min(roomy, key=lambda s: (len(draft.hot[s.name]), draft.order[s.name]), default=None)
        # While workers still come up, their slots get their share instead of all going to the first one.
        if emptiest is None or any(len(draft.hot[s.name]) < len(draft.hot[emptiest.name]) for s in coming):
            continue
        draft.load(emptiest, model, Reason.FILL, f"{emptiest.name} has room and {model.name} is hot nowhere")


def _fill_empty(draft: Draft, tier: TierFacts) -> None:
    for slot in (draft.slots[name] for name in tier.slots):
        if not slot.alive or draft.hot[slot.name]:
            continue
        by_need = sorted(
            (draft.models[name] for name in tier.models if slot.name not in draft.holders[name]),
            key=lambda model: (-model.rate / (len(draft.holders[model.name]) + 1), len(draft.holders[model.name])),
        )
        for model in by_need:
            if first_refusal(ROTATION_GATES, draft, Wish(model, [slot])) is None:
                draft.load(slot, model, Reason.FILL, f"{slot.name} was empty")
                break


def swap_ahead(draft: Draft) -> None:
    """Load a model before anybody asks, where the forecast says that it saves more waiting than it costs."""
    living = [slot for slot in draft.slots.values() if slot.alive]
    utilisation = sum(slot.batch is not None for slot in living) / max(len(living), 1)
    for tier in draft.tiers.values():
        if tier.policy is not Policy.ROTATE:
            continue
        absent = [m for m in map(draft.models.__getitem__, tier.models) if not draft.holders[m.name] and m.rate > 0]
        for model in sorted(absent, key=lambda model: -wanted_soon(draft, model)):
            _swap_in(draft, model, utilisation)


def _swap_in(draft: Draft, model: ModelFacts, utilisation: float) -> None:
    slots = draft.possible_slots(model)
    if model.queued or first_refusal(MISS_GATES, draft, Wish(model, slots)) is not None:
        return
    best, second = cheapest_eviction(draft, model, slots, Trouble.IDLE)
    if best is None or not best.victims:
        return
    swap = Swap(model, best, utilisation)
    refusal = first_swap_refusal(SWAP_GATES, draft, swap) or first_refusal(ROTATION_GATES, draft, Wish(model, slots))
    if refusal is not None:
        draft.hold(model.name, *refusal, demanded=False)
        return
    saved = gain_of(draft, swap)
    sentence = f"{model.name} is expected soon; loading it now saves {saved:.1f} s of waiting"
    bring_in(draft, best, second, model, Reason.PROACTIVE_SWAP, sentence, score=saved)
