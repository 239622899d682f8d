"""Which models would have to leave a slot for another to come, and on which slot that costs least.

With more wanted models than slots, models take turns: one that has jobs keeps its place for a turn, which is long enough
to be worth its load and short enough to bound everybody's wait. One without jobs has no turn and goes at once.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple

from modelpool.resources.spec import Policy
from modelpool_operator.planner.draft import Draft
from modelpool_operator.planner.outcome import Reason
from modelpool_operator.planner.scores import eviction_loss, keep_value, load_seconds, reload_seconds
from modelpool_operator.planner.snapshot import ModelFacts, SlotFacts

TURN_LOADS = 3.0
"""A turn lasts this many loads of the model, so that at most a quarter of the time goes into loading."""
MIN_TURN_SECONDS = 1.0


class Trouble(IntEnum):
    """What it takes to move a model out; less is better."""

    IDLE = 0
    """No batch, no queue of its own."""
    WANTED = 1
    """It has jobs waiting, but its turn is over."""
    BUSY = 2
    """A batch is in flight and its turn is over: it is told to go, and goes when the batch is done."""


class Eviction(NamedTuple):
    """A way to make room in one slot: who leaves, and what that costs. No victims where there is room."""

    slot: SlotFacts
    victims: tuple[str, ...]
    trouble: Trouble
    loss: float
    """Expected job-seconds of waiting per second that leaving causes."""
    last_copies: int
    """Victims that will be hot nowhere."""
    load: float
    """Seconds until the new model is hot there."""
    used_at: int
    """When the most recent of the victims was last used."""


def turn_seconds(slot: SlotFacts, model: ModelFacts) -> float:
    """How long a model with jobs may keep its place while another is waiting for one."""
    return max(MIN_TURN_SECONDS, TURN_LOADS * reload_seconds(slot, model))


def trouble_of(draft: Draft, slot: SlotFacts, name: str, wanting: ModelFacts) -> Trouble | None:
    """What it takes to move ``name`` out of ``slot`` for ``wanting``, or None where it may not be moved now."""
    if draft.tiers[slot.tier].policy is Policy.ALWAYS:
        return None
    busy = draft.is_busy(slot, name)
    guest, comes_home = draft.is_guest(slot, name), wanting.tier == slot.tier
    if guest and comes_home:
        return Trouble.BUSY if busy else Trouble.IDLE
    if comes_home == guest or name not in slot.hot:
        return None  # a slot's own models make no room for guests; a load is not interrupted
    contended = draft.models[name].queued > 0 and draft.ready[name] <= 1
    if not busy and not contended:
        return Trouble.IDLE
    turn_over = draft.now - slot.hot_since.get(name, 0) >= turn_seconds(slot, draft.models[name]) * 1000
    # Who has just lost its place waits until it is out before it takes another's: no chains of swaps.
    if not turn_over or draft.is_leaving(wanting.name):
        return None
    return Trouble.BUSY if busy else Trouble.WANTED


def eviction_on(draft: Draft, slot: SlotFacts, wanting: ModelFacts, most: Trouble) -> Eviction | None:
    """The least costly way to make room for ``wanting`` in ``slot``, with at most this trouble."""
    held = draft.hot[slot.name]
    if wanting.name in held:
        return None
    if draft.fits_beside(slot, wanting):
        return Eviction(slot, (), Trouble.IDLE, 0.0, 0, load_seconds(slot, wanting), -1)
    victims: list[tuple[Trouble, float, int, str]] = []
    for name in held:
        trouble = trouble_of(draft, slot, name, wanting)
        if trouble is not None and trouble <= most:
            model = draft.models[name]
            victims.append((trouble, keep_value(slot, model, draft.ready[name]), model.used_at, name))
    victims = _fewest(draft, slot, wanting, sorted(victims))
    if not victims:
        return None
    names = tuple(name for *_, name in victims)
    return Eviction(
        slot=slot,
        victims=names,
        trouble=max(trouble for trouble, *_ in victims),
        loss=sum(eviction_loss(slot, draft.models[name], draft.ready[name]) for name in names),
        last_copies=sum(draft.ready[name] <= 1 for name in names),
        load=load_seconds(slot, wanting),
        used_at=max(used_at for _, _, used_at, _ in victims),
    )


def _fewest(
    draft: Draft, slot: SlotFacts, wanting: ModelFacts, cheapest_first: list[tuple[Trouble, float, int, str]]
) -> list[tuple[Trouble, float, int, str]]:
    """The cheapest victims that together make room, without those that turn out not to be needed; or none."""
    staying = dict.fromkeys((*draft.hot[slot.name], wanting.name))
    chosen: list[tuple[Trouble, float, int, str]] = []
    for victim in cheapest_first:
        del staying[victim[-1]]
        chosen.append(victim)
        if draft.fits(slot, staying):
            break
    else:
        return []
    for victim in reversed(chosen[:-1]):
        if draft.fits(slot, (*staying, victim[-1])):
            staying[victim[-1]] = None
            chosen.remove(victim)
    return chosen


def cheapest_eviction(
    draft: Draft, wanting: ModelFacts, slots: Iterable[SlotFacts], most: Trouble
) -> tuple[Eviction | None, Eviction | None]:
    """The best way and the second best, over several slots."""
    found = [eviction for slot in slots if (eviction := eviction_on(draft, slot, wanting, most)) is not None]
    best = heapq.nsmallest(2, found, key=lambda eviction: _rank(draft, eviction))
    return (best[0] if best else None), (best[1] if len(best) > 1 else None)


def _rank(draft: Draft, eviction: Eviction) -> tuple[object, ...]:
    """Least trouble first, then idle slots, then the least loss, the fastest load, the longest unused, the first slot."""
    slot = eviction.slot
    return (
        eviction.trouble,
        slot.batch is not None and slot.batch not in eviction.victims,
        eviction.loss,
        eviction.last_copies,
        eviction.load,
        eviction.used_at,
        draft.order[slot.name],
    )


def within_load_limit(draft: Draft, model: ModelFacts, slots: Iterable[SlotFacts]) -> list[SlotFacts]:
    """The slots that may start a load now; one that has not let go of the model yet always may."""
    if len(draft.loading) < draft.rules.max_concurrent_loads:
        return list(slots)
    return [slot for slot in slots if model.name in slot.hot]


def _make_room(draft: Draft, eviction: Eviction, wanting: ModelFacts) -> None:
    """Unload the victims."""
    slot = eviction.slot
    for name in eviction.victims:
        if draft.is_guest(slot, name) and wanting.tier == slot.tier:
            reason, why = Reason.GO_HOME, f"{slot.name} is needed by its own tier {slot.tier}"
        elif eviction.trouble is Trouble.IDLE:
            reason, why = Reason.MAKE_ROOM, f"{name} was idle and costs least to bring back"
        else:
            reason, why = Reason.TURN_OVER, f"{name} has had its turn and {wanting.name} is waiting for one"
        draft.unload(slot, name, reason, f"{why}; {wanting.name} comes instead", eviction.loss)


def bring_in(
    draft: Draft,
    best: Eviction,
    second: Eviction | None,
    model: ModelFacts,
    reason: Reason,
    sentence: str,
    *,
    score: float | None = None,
) -> None:
    """Unload the victims and load the model; ``score`` is the loss unless told otherwise."""
    _make_room(draft, best, model)
    runner_up = second.slot.name if second is not None else None
    draft.load(best.slot, model, reason, sentence, score=best.loss if score is None else score, runner_up=runner_up)
