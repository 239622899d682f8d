"""Who stays: what cannot stay goes, Always tiers are kept, and what nobody uses is unloaded in OnDemand tiers."""

from __future__ import annotations

from modelpool.resources.quantity import format_bytes
from modelpool.resources.spec import Policy
from modelpool_operator.planner.draft import Draft
from modelpool_operator.planner.outcome import HeldReason, Reason
from modelpool_operator.planner.scores import keep_value
from modelpool_operator.planner.snapshot import SlotFacts, TierFacts


def drop_what_cannot_stay(draft: Draft) -> None:
    """Removed models, failed loads, and whatever exceeds the VRAM after measuring."""
    for slot in draft.slots.values():
        for name in list(draft.hot[slot.name]):
            if not _may_be_in(draft, slot, name):
                draft.unload(slot, name, Reason.REMOVED, f"{name} no longer belongs in {slot.name}")
            elif name not in slot.hot and (failure := draft.failure(slot, draft.models[name])) is not None:
                draft.unload(slot, name, Reason.LOAD_FAILED, f"{name} could not be loaded: {failure.message}")
        _trim(draft, slot)


def _may_be_in(draft: Draft, slot: SlotFacts, name: str) -> bool:
    if name not in draft.models or slot.tier not in draft.tiers:
        return False
    tier, home = draft.tiers[slot.tier], draft.tiers[draft.models[name].tier]
    return tier is home or (tier.lend and home.policy is Policy.ROTATE)


def _trim(draft: Draft, slot: SlotFacts) -> None:
    """Unload what earns least until the rest fits: idle before busy, in an Always tier the last in the document.

    A model that serves alone has shown that it fits, whatever was measured; its worker shrinks the batches.
    """
    while not draft.fits(slot, draft.hot[slot.name]):
        if len(draft.hot[slot.name]) == 1 and draft.is_ready(slot, next(iter(draft.hot[slot.name]))):
            return
        place = {name: index for index, name in enumerate(draft.tiers[slot.tier].models)}
        name = min(
            draft.hot[slot.name],
            key=lambda name: (
                draft.is_busy(slot, name),
                keep_value(slot, draft.models[name], draft.ready[name]),
                -place.get(name, len(place)),
            ),
        )
        sentence = f"{slot.name} has {format_bytes(slot.vram)}, too little for {name} beside the others"
        draft.unload(slot, name, Reason.OVER_BUDGET, sentence)


def keep_always_tiers(draft: Draft) -> None:
    """Every model of the tier hot on every slot of it."""
    for tier in draft.tiers.values():
        if tier.policy is Policy.ALWAYS:
            for name in tier.slots:
                _keep_always(draft, tier, draft.slots[name])


def _keep_always(draft: Draft, tier: TierFacts, slot: SlotFacts) -> None:
    missing = [draft.models[name] for name in tier.models if name not in draft.hot[slot.name]]
    for model in missing:
        if not slot.alive:
            draft.hold(model.name, HeldReason.NO_WORKER, f"{slot.name} has no running worker", slot.name)
        elif draft.failure(slot, model) is not None:
            sentence = f"loading {model.name} in {slot.name} failed; it is tried again after a while"
            draft.hold(model.name, HeldReason.LOAD_BACK_OFF, sentence, slot.name)
        elif not draft.fits_beside(slot, model):
            sentence = f"{slot.name} has {format_bytes(slot.vram)}, too little for {model.name} beside the others"
            draft.hold(model.name, HeldReason.LARGER_THAN_SLOT, sentence, slot.name)
        elif (
            slot.name not in draft.loading
            and len(draft.loading) >= draft.rules.max_concurrent_loads
            and model.name not in slot.hot
        ):
            sentence = (
                f"{model.name} waits for {slot.name}: {draft.rules.max_concurrent_loads} slots are loading already"
            )
            draft.hold(model.name, HeldReason.MAX_CONCURRENT_LOADS, sentence, slot.name)
        else:
            draft.load(slot, model, Reason.ALWAYS_TIER, f"{model.name} is always hot in tier {tier.name}")


def unload_idle(draft: Draft) -> None:
    """OnDemand tiers let go of a model that nobody has used for idleSeconds."""
    for tier in draft.tiers.values():
        if tier.policy is not Policy.ON_DEMAND:
            continue
        for slot in (draft.slots[name] for name in tier.slots):
            for name in [name for name in draft.hot[slot.name] if not draft.is_guest(slot, name)]:
                model = draft.models[name]
                wanted = model.queued or model.running or draft.is_busy(slot, name)
                if not wanted and draft.now - model.used_at >= tier.idle_seconds * 1000:
                    draft.unload(slot, name, Reason.IDLE, f"nobody has used {name} for {tier.idle_seconds:g} s")
