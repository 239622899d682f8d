"""Small snapshots for planner tests, and what a plan makes of them. Sizes are GiB here, moments are seconds."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from modelpool.resources.spec import Policy, Rebalance
from modelpool_operator.planner import (
    Action,
    FailedLoad,
    ModelFacts,
    Plan,
    Reason,
    SlotFacts,
    Snapshot,
    TierFacts,
)

GIB = 2**30
NOW = 1_000_000_000


def model(name: str, tier: str, weights: float = 10, activations: float = 2, **facts: Any) -> ModelFacts:
    """A model that loads in 10 s from disk and 1 s from host RAM, unless told otherwise."""
    defaults: dict[str, Any] = {"cold_load": 10.0, "warm_load": 1.0, "service": 2.0}
    if facts.get("queued"):
        defaults |= {"queued_work": 2.0 * facts["queued"], "oldest_at": NOW - 1000, "used_at": NOW}
    if facts.get("running"):
        defaults |= {"used_at": NOW}
    return ModelFacts(
        name=name, tier=tier, weights=int(weights * GIB), activations=int(activations * GIB), **(defaults | facts)
    )


def slot(name: str, tier: str, vram: float = 24, host_memory: float = 64, **facts: Any) -> SlotFacts:
    """A living slot. `holds` says that it was told to hold these models, and does."""
    holds = facts.pop("holds", None)
    if holds is not None:
        facts |= {"assigned": tuple(holds), "hot": tuple(holds)}
    return SlotFacts(name=name, tier=tier, vram=int(vram * GIB), host_memory=int(host_memory * GIB), **facts)


def snapshot(
    slots: Iterable[SlotFacts],
    models: Iterable[ModelFacts],
    policies: Mapping[str, Policy],
    *,
    failed: Iterable[FailedLoad] = (),
    now: int = NOW,
    lend: Iterable[str] = (),
    idle_seconds: float = 600,
    **rules: Any,
) -> Snapshot:
    """A pool whose tiers are those of its slots and models."""
    slots, models, lend = tuple(slots), tuple(models), tuple(lend)
    tiers = tuple(
        TierFacts(
            name=name,
            policy=policy,
            models=tuple(m.name for m in models if m.tier == name),
            slots=tuple(s.name for s in slots if s.tier == name),
            idle_seconds=idle_seconds,
            lend=name in lend,
        )
        for name, policy in policies.items()
    )
    return Snapshot(now, tiers, slots, models, Rebalance(**rules), tuple(failed))


def applied(before: Snapshot, plan: Plan) -> Snapshot:
    """The moment after: the slots have been told, nothing has been loaded yet."""
    targets = {target.slot: target for target in plan.targets}
    slots = tuple(
        replace(slot, assigned=targets[slot.name].hot, assigned_warm=targets[slot.name].warm) for slot in before.slots
    )
    return replace(before, slots=slots)


def converged(before: Snapshot, plan: Plan, seconds: float = 0) -> Snapshot:
    """Some seconds later: every slot holds what it was told to hold, hot since now."""
    now = before.now + int(seconds * 1000)
    told = applied(before, plan)
    slots = tuple(
        replace(
            slot,
            hot=slot.assigned or (),
            warm=slot.assigned_warm,
            hot_since={name: slot.hot_since.get(name, now) for name in slot.assigned or ()},
        )
        if slot.alive
        else slot
        for slot in told.slots
    )
    return replace(told, slots=slots, now=now)


def hot(plan: Plan) -> dict[str, tuple[str, ...]]:
    """Slot → hot models."""
    return {target.slot: target.hot for target in plan.targets}


def loads(plan: Plan) -> list[tuple[str, str, Reason]]:
    """What is loaded where and why."""
    return [(move.slot, move.model, move.reason) for move in plan.moves if move.action is Action.LOAD]


def unloads(plan: Plan) -> list[tuple[str, str, Reason]]:
    """What is unloaded where and why."""
    return [(move.slot, move.model, move.reason) for move in plan.moves if move.action is Action.UNLOAD]
