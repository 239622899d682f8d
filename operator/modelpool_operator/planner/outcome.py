"""What the planner answers: what each slot shall hold, each move with its reason, and each wish that has to wait."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Action(StrEnum):
    """What happens to a model in a slot."""

    LOAD = "load"
    UNLOAD = "unload"


class Reason(StrEnum):
    """Why a model moves; the label of ``modelpool_moves_total``."""

    ALWAYS_TIER = "AlwaysTier"
    DEMAND_MISS = "DemandMiss"
    EXTRA_REPLICA = "ExtraReplica"
    PROACTIVE_SWAP = "ProactiveSwap"
    FILL = "Fill"
    MAKE_ROOM = "MakeRoom"
    TURN_OVER = "TurnOver"
    GO_HOME = "GoHome"
    IDLE = "Idle"
    OVER_BUDGET = "OverBudget"
    LOAD_FAILED = "LoadFailed"
    REMOVED = "Removed"


class HeldReason(StrEnum):
    """Why a wish is not fulfilled now."""

    NO_WORKER = "NoWorker"
    LOAD_BACK_OFF = "LoadBackOff"
    LARGER_THAN_SLOT = "LargerThanSlot"
    MAX_CONCURRENT_LOADS = "MaxConcurrentLoads"
    ALL_SLOTS_BUSY = "AllSlotsBusy"
    DRY_RUN = "DryRun"
    MIN_RESIDENCY = "MinResidency"
    HYSTERESIS = "Hysteresis"
    FAST_LOADS = "FastLoads"
    NO_GAIN = "NoGain"


@dataclass(frozen=True, slots=True)
class Move:
    """One model that shall come or go. ``score`` is what the decision cost, in expected job-seconds of waiting."""

    slot: str
    model: str
    action: Action
    reason: Reason
    sentence: str
    score: float | None = None
    runner_up: str | None = None
    """The slot that came second, where there was a choice."""
    after_batch: bool = False
    """A batch of the model is in flight: the worker takes no further job of it and finishes this one first."""


@dataclass(frozen=True, slots=True)
class Held:
    """A wish that has to wait, and why."""

    model: str
    reason: HeldReason
    sentence: str
    slot: str | None = None
    demanded: bool = True
    """Whether jobs wait for it, or a tier's policy asks for it; otherwise it would only be better."""


@dataclass(frozen=True, slots=True)
class Target:
    """What one slot shall hold; sorted."""

    slot: str
    hot: tuple[str, ...]
    warm: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """The planner's answer, in the order of the snapshot's slots."""

    targets: tuple[Target, ...]
    moves: tuple[Move, ...] = ()
    held: tuple[Held, ...] = ()
    misses: tuple[str, ...] = ()
    """Models with queued jobs that were hot nowhere and loading nowhere when the plan was made."""
