"""The rules in order of precedence. Each is one function that changes the draft; all run until none changes anything."""

from __future__ import annotations

from modelpool_operator.planner.demanded import add_replicas, send_guests_home, serve_misses
from modelpool_operator.planner.draft import Draft
from modelpool_operator.planner.outcome import Plan, Target
from modelpool_operator.planner.residents import drop_what_cannot_stay, keep_always_tiers, unload_idle
from modelpool_operator.planner.rotation import fill_free_room, swap_ahead
from modelpool_operator.planner.snapshot import Snapshot
from modelpool_operator.planner.warm import warm_sets

RULES = (
    unload_idle,
    keep_always_tiers,
    serve_misses,
    send_guests_home,
    add_replicas,
    fill_free_room,
    swap_ahead,
)
MOST_PASSES = 16
"""Far above what any pool needs; each pass but the last changes something."""


def plan(snapshot: Snapshot) -> Plan:
    """What each slot shall hold now, and why."""
    draft = Draft(snapshot)
    drop_what_cannot_stay(draft)
    misses = tuple(model.name for model in draft.misses())
    for _ in range(MOST_PASSES):
        before = draft.changes
        draft.held.clear()
        for rule in RULES:
            rule(draft)
        if draft.changes == before:
            break
    warm = warm_sets(draft)
    targets = tuple(Target(slot.name, tuple(sorted(draft.hot[slot.name])), warm[slot.name]) for slot in snapshot.slots)
    return Plan(targets, draft.moves, tuple(draft.held.values()), misses)
