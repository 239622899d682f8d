"""What may keep a wish from being fulfilled: ordered lists of small predicates, each with a machine reason and a sentence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from modelpool.resources.quantity import format_bytes
from modelpool_operator.planner.draft import Draft
from modelpool_operator.planner.evictions import Eviction
from modelpool_operator.planner.forecast import chance_of_demand
from modelpool_operator.planner.outcome import HeldReason
from modelpool_operator.planner.scores import exposure, reload_seconds, swap_gain
from modelpool_operator.planner.snapshot import ModelFacts, SlotFacts

FAST_LOAD_SECONDS = 2.0
"""Below this a load on demand is hardly noticed, and guessing ahead costs more than it saves."""

Refusal = tuple[HeldReason, str]


@dataclass(frozen=True, slots=True)
class Wish:
    """A model that shall be loaded on one of these slots."""

    model: ModelFacts
    slots: Sequence[SlotFacts]


@dataclass(frozen=True, slots=True)
class Swap:
    """A model that shall come for the victims of an eviction."""

    model: ModelFacts
    eviction: Eviction
    utilisation: float
    """Share of the pool's living slots with a batch in flight."""


WishGate = Callable[[Draft, Wish], Refusal | None]
SwapGate = Callable[[Draft, Swap], Refusal | None]


# --- for any load -------------------------------------------------------------------------------------------------


def no_dry_run(draft: Draft, wish: Wish) -> Refusal | None:
    """dryRun: only Always tiers and demand misses load."""
    if draft.rules.dry_run:
        return HeldReason.DRY_RUN, f"{wish.model.name} would be loaded now, but dryRun is set"
    return None


def has_worker(draft: Draft, wish: Wish) -> Refusal | None:
    """Somebody must be there to load it."""
    if not wish.slots:
        return HeldReason.NO_WORKER, f"no slot for {wish.model.name} has a running worker"
    return None


def not_backing_off(draft: Draft, wish: Wish) -> Refusal | None:
    """A load that failed is tried again after a growing while."""
    retry_at = draft.retry_at(wish.model.name)
    if retry_at > draft.now:
        # No countdown: a sentence that changes every second would be a new status every second.
        return HeldReason.LOAD_BACK_OFF, f"loading {wish.model.name} failed; it is tried again after a while"
    return None


def fits_a_slot(draft: Draft, wish: Wish) -> Refusal | None:
    """Measured sizes may say otherwise than the spec's."""
    if not any(draft.fits(slot, [wish.model.name]) for slot in wish.slots):
        needed = format_bytes(wish.model.weights + wish.model.activations)
        largest = format_bytes(max(slot.vram for slot in wish.slots))
        sentence = f"{wish.model.name} needs {needed} and the largest slot for it has {largest}"
        return HeldReason.LARGER_THAN_SLOT, sentence
    return None


def below_load_limit(draft: Draft, wish: Wish) -> Refusal | None:
    """At most maxConcurrentLoads slots load at a time; a model that has not left its slot yet needs no load."""
    limit = draft.rules.max_concurrent_loads
    if len(draft.loading) >= limit and not any(wish.model.name in slot.hot for slot in wish.slots):
        return HeldReason.MAX_CONCURRENT_LOADS, f"{wish.model.name} waits: {limit} slots are loading already"
    return None


MISS_GATES: tuple[WishGate, ...] = (has_worker, not_backing_off, fits_a_slot, below_load_limit)
ROTATION_GATES: tuple[WishGate, ...] = (has_worker, not_backing_off, fits_a_slot, no_dry_run, below_load_limit)


# --- for a swap that no job waits for -----------------------------------------------------------------------------


def slow_to_load(draft: Draft, swap: Swap) -> Refusal | None:
    """A fast load can wait until somebody asks."""
    if swap.eviction.load <= FAST_LOAD_SECONDS:
        return HeldReason.FAST_LOADS, f"{swap.model.name} loads within {FAST_LOAD_SECONDS:g} s when it is asked for"
    return None


def resident_long_enough(draft: Draft, swap: Swap) -> Refusal | None:
    """A model keeps its place for minResidencySeconds."""
    slot, least = swap.eviction.slot, draft.rules.min_residency_seconds
    for name in swap.eviction.victims:
        if draft.now - slot.hot_since.get(name, 0) < least * 1000:
            return HeldReason.MIN_RESIDENCY, f"{name} has been in {slot.name} for less than {least:g} s"
    return None


def clearly_more_wanted(draft: Draft, swap: Swap) -> Refusal | None:
    """Forecasts are noise within a factor: the newcomer must be wanted ``hysteresis`` times as much."""
    for name in swap.eviction.victims:
        if swap.model.rate <= draft.rules.hysteresis * draft.models[name].rate:
            factor = draft.rules.hysteresis
            return HeldReason.HYSTERESIS, f"{swap.model.name} is not {factor:g} times as much in demand as {name}"
    return None


def worth_it(draft: Draft, swap: Swap) -> Refusal | None:
    """The waiting that it saves must be more than the waiting that it causes."""
    if gain_of(draft, swap) <= 0:
        return HeldReason.NO_GAIN, f"loading {swap.model.name} ahead of demand would cost more waiting than it saves"
    return None


SWAP_GATES: tuple[SwapGate, ...] = (slow_to_load, resident_long_enough, clearly_more_wanted, worth_it)
REPLICA_GATES: tuple[SwapGate, ...] = (resident_long_enough,)


def gain_of(draft: Draft, swap: Swap) -> float:
    """Job-seconds that a proactive swap is expected to save within the horizon."""
    horizon, slot = float(draft.rules.horizon_seconds), swap.eviction.slot
    lost = 0.0
    for name in swap.eviction.victims:
        victim = draft.models[name]
        if draft.ready[name] <= 1:
            lost += exposure(victim.rate, reload_seconds(slot, victim), horizon)
    gained = exposure(swap.model.rate, swap.eviction.load, horizon)
    # Victims are idle, so nothing has to be drained.
    return swap_gain(gained, lost, swap.utilisation, swap.eviction.load, drain=0.0)


def wanted_soon(draft: Draft, model: ModelFacts) -> float:
    """How much waiting its absence causes, for choosing whom to consider first."""
    return chance_of_demand(model.rate, float(draft.rules.horizon_seconds)) * model.warm_load


def first_refusal(gates: Sequence[WishGate], draft: Draft, wish: Wish) -> Refusal | None:
    """The first gate that does not open."""
    return next((refusal for gate in gates if (refusal := gate(draft, wish)) is not None), None)


def first_swap_refusal(gates: Sequence[SwapGate], draft: Draft, swap: Swap) -> Refusal | None:
    """The first gate that does not open."""
    return next((refusal for gate in gates if (refusal := gate(draft, swap)) is not None), None)
