"""What shall sit where: pure, deterministic functions from a :class:`Snapshot` to a :class:`Plan`. Time is a field."""

from modelpool_operator.planner.outcome import Action, Held, HeldReason, Move, Plan, Reason, Target
from modelpool_operator.planner.rules import plan
from modelpool_operator.planner.snapshot import FailedLoad, ModelFacts, SlotFacts, Snapshot, TierFacts

__all__ = [
    "Action",
    "FailedLoad",
    "Held",
    "HeldReason",
    "ModelFacts",
    "Move",
    "Plan",
    "Reason",
    "SlotFacts",
    "Snapshot",
    "Target",
    "TierFacts",
    "plan",
]
