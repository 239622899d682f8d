"""Everything that a status tells about: what was seen, what was planned, and what is wrong."""

from __future__ import annotations

from dataclasses import dataclass

from modelpool.resources.spec import ModelPool
from modelpool.slots import RuntimeProblem
from modelpool_operator.observe import Observation
from modelpool_operator.planner import Plan, Snapshot


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong around the operator itself, one sentence each."""

    spec: str | None = None
    runtime: str | None = None
    demand: str | None = None
    problems: tuple[RuntimeProblem, ...] = ()
    rollout: str = ""
    """What the replacing of workers waits for, while it is under way."""
    reload: str = ""
    """Which models are loaded anew slot by slot, and in how many slots that is still to be done."""


@dataclass(frozen=True, slots=True)
class Account:
    """Everything a status tells about."""

    pool: ModelPool
    generation: int
    """The pool's metadata.generation that its workers, too, have been looked at for."""
    epoch: int
    seen: Observation
    snapshot: Snapshot
    plan: Plan
    trouble: Trouble
