"""How `modelpool plan` shows a plan: rows for people, a document for programs. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from modelpool_operator.planner import Action, Held, Move, Plan, SlotFacts, Snapshot, Target

SLOT_COLUMNS = ("slot", "holds now", "would hold", "why")
HELD_COLUMNS = ("model", "slot", "gate", "wanted", "why")
NOBODY = "–"

Row = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outlook:
    """A plan, what it was made from, and what has to be known to judge it."""

    pool: str
    snapshot: Snapshot
    plan: Plan
    demand: str
    """Whose figures of demand these are; empty when there are none."""
    cold: bool = False
    """For empty slots and no demand, because nothing is known of the pool."""
    leaving: tuple[str, ...] = ()
    """Slots that the pool in force has and this one has not."""
    notes: tuple[str, ...] = ()
    """Sentences for people."""


def changes(outlook: Outlook) -> bool:
    """Whether any slot would be told something new, or go."""
    return bool(outlook.plan.moves or outlook.leaving) or any(
        _warm_news(slot, target) for slot, target in _pairs(outlook)
    )


def headline(outlook: Outlook) -> str:
    """What would happen, in one sentence."""
    loads = sum(move.action is Action.LOAD for move in outlook.plan.moves)
    unloads = len(outlook.plan.moves) - loads
    if loads or unloads:
        return f"{outlook.pool}: the planner would load {_models(loads)} and unload {_models(unloads)}."
    if outlook.leaving:
        return f"{outlook.pool}: no model would move, but slots would go."
    if changes(outlook):
        return f"{outlook.pool}: the planner would change only what is kept in host memory."
    return f"{outlook.pool}: nothing would change."


def leaver_lines(outlook: Outlook) -> list[str]:
    """A line for each slot that would go."""
    return [f"{slot} would go: its worker finishes its batch and ends." for slot in outlook.leaving]


def miss_lines(outlook: Outlook) -> list[str]:
    """A line for each model that jobs wait for and that no slot holds."""
    queued = {model.name: model.queued for model in outlook.snapshot.models}
    return [
        f"Demand miss: {queued[name]} {'job waits' if queued[name] == 1 else 'jobs wait'} for {name}, hot nowhere."
        for name in outlook.plan.misses
    ]


def slot_rows(outlook: Outlook) -> list[Row]:
    """A row for each slot and, where there is more than one thing to say of it, further rows that begin empty."""
    rows: list[Row] = []
    for slot, target in _pairs(outlook):
        said = list(_said(slot, target, [move for move in outlook.plan.moves if move.slot == slot.name]))
        rows.append((slot.name, _names(sorted(slot.hot)), _names(target.hot), said[0] if said else ""))
        rows += [("", "", "", sentence) for sentence in said[1:]]
    return rows


def held_rows(outlook: Outlook) -> list[Row]:
    """A row for each wish that has to wait: for whom, where, and which gate is shut."""
    return [
        (held.model, held.slot or "", held.reason.value, "now" if held.demanded else "ahead", held.sentence)
        for held in outlook.plan.held
    ]


def document(outlook: Outlook) -> dict[str, Any]:
    """All of it. ``at`` in Unix milliseconds, None for a cold start, scores in job-seconds of waiting."""
    return {
        "pool": outlook.pool,
        "at": None if outlook.cold else outlook.snapshot.now,
        "coldStart": outlook.cold,
        "demandSource": outlook.demand or None,
        "changes": changes(outlook),
        "slots": [
            {
                "slot": slot.name,
                "tier": slot.tier,
                "alive": slot.alive,
                "hot": sorted(slot.hot),
                "warm": sorted(slot.warm),
                "wouldBeHot": list(target.hot),
                "wouldBeWarm": list(target.warm),
                "moves": [_move(move) for move in outlook.plan.moves if move.slot == slot.name],
            }
            for slot, target in _pairs(outlook)
        ],
        "leaving": list(outlook.leaving),
        "held": [_held(held) for held in outlook.plan.held],
        "misses": list(outlook.plan.misses),
        "notes": list(outlook.notes),
    }


def _pairs(outlook: Outlook) -> Iterator[tuple[SlotFacts, Target]]:
    return zip(outlook.snapshot.slots, outlook.plan.targets, strict=True)


def _said(slot: SlotFacts, target: Target, moves: list[Move]) -> Iterator[str]:
    for move in moves:
        yield f"{move.action.value} {move.model}: {move.sentence}{_choice(move)}"
    moved = {move.model for move in moves}
    if coming := sorted(set(target.hot) - set(slot.hot) - moved):
        yield f"{_names(coming)}: assigned before, not loaded yet"
    if leaving := sorted(set(slot.hot) - set(target.hot) - moved):
        yield f"{_names(leaving)}: told to go before, not gone yet"
    if _warm_news(slot, target):
        before = f" instead of {_names(sorted(slot.assigned_warm))}" if slot.assigned_warm else ""
        yield f"in host memory: {_names(target.warm)}{before}"
    if not slot.alive:
        yield "its worker is starting" if slot.starting else "no running worker"


def _choice(move: Move) -> str:
    said = [
        f"score {move.score:.2f}" if move.score is not None else "",
        f"runner-up {move.runner_up}" if move.runner_up else "",
        "after its batch" if move.after_batch else "",
    ]
    found = ", ".join(filter(None, said))
    return f" ({found})" if found else ""


def _warm_news(slot: SlotFacts, target: Target) -> bool:
    return set(target.warm) != set(slot.assigned_warm)


def _names(names: Iterable[str]) -> str:
    return ", ".join(names) or NOBODY


def _models(count: int) -> str:
    return "1 model" if count == 1 else f"{count or 'no'} models"


def _move(move: Move) -> dict[str, Any]:
    return {
        "action": move.action.value,
        "model": move.model,
        "reason": move.reason.value,
        "sentence": move.sentence,
        "score": move.score,
        "runnerUp": move.runner_up,
        "afterBatch": move.after_batch,
    }


def _held(held: Held) -> dict[str, Any]:
    return {
        "model": held.model,
        "slot": held.slot,
        "reason": held.reason.value,
        "sentence": held.sentence,
        "demanded": held.demanded,
    }
