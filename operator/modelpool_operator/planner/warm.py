"""Which models a slot keeps in host RAM: those whose absence would cost most per byte, as far as the memory goes."""

from __future__ import annotations

from collections.abc import Mapping

from modelpool.resources.spec import Policy
from modelpool_operator.planner.draft import Draft
from modelpool_operator.planner.scores import warm_value
from modelpool_operator.planner.snapshot import ModelFacts, SlotFacts, TierFacts


def warm_sets(draft: Draft) -> dict[str, tuple[str, ...]]:
    """The warm models of each slot, sorted. A hot model needs no place among them."""
    candidates = {tier.name: _candidates(draft, tier) for tier in draft.tiers.values()}
    value = {model.name: warm_value(model) for model in draft.models.values()}
    return {
        slot.name: _warm_set(draft, slot, candidates[slot.tier], value) if slot.tier in candidates else ()
        for slot in draft.slots.values()
    }


def _candidates(draft: Draft, tier: TierFacts) -> list[ModelFacts]:
    """Models that the tier's slots may hold, in the order of the document, without those that fail to load."""
    names = list(tier.models)
    if tier.lend:
        names += [name for other in draft.tiers.values() if other.policy is Policy.ROTATE for name in other.models]
    return [draft.models[name] for name in names if draft.retry_at(name) <= draft.now]


def _warm_set(
    draft: Draft, slot: SlotFacts, candidates: list[ModelFacts], value: Mapping[str, float]
) -> tuple[str, ...]:
    hot, already = draft.hot[slot.name], slot.assigned_warm
    wanted = [model for model in candidates if model.name not in hot]
    if sum([model.weights for model in wanted]) > slot.host_memory:
        # What is warm already must be beaten by the hysteresis, or the set would follow every flicker of the forecast.
        stay = draft.rules.hysteresis
        wanted.sort(key=lambda m: (-value[m.name] * stay, False) if m.name in already else (-value[m.name], True))
        wanted = _as_far_as_it_goes(wanted, slot.host_memory)
    return tuple(sorted([model.name for model in wanted]))


def _as_far_as_it_goes(models: list[ModelFacts], room: int) -> list[ModelFacts]:
    chosen = []
    for model in models:
        if model.weights <= room:
            chosen.append(model)
            room -= model.weights
    return chosen
