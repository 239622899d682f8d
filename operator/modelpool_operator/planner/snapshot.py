"""Everything the planner may know, frozen. Sizes are bytes, moments Unix milliseconds, durations seconds, rates jobs/s."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from modelpool.resources.spec import Policy, Rebalance


@dataclass(frozen=True, slots=True)
class TierFacts:
    """A tier and its policy; models and slots in the order of the document."""

    name: str
    policy: Policy
    models: tuple[str, ...]
    slots: tuple[str, ...]
    idle_seconds: float = 600
    lend: bool = False


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """One model: how large it is, how long it takes to load, who wants it."""

    name: str
    tier: str
    weights: int
    activations: int
    cold_load: float
    """Seconds from disk to hot, pessimistic."""
    warm_load: float
    """Seconds from host RAM to hot, pessimistic."""
    service: float
    """Expected GPU-seconds of a usual job."""
    queued: int = 0
    queued_paid: int = 0
    queued_work: float = 0.0
    """Expected GPU-seconds of all queued jobs."""
    running: int = 0
    oldest_at: int | None = None
    """When the oldest queued job came."""
    rate: float = 0.0
    """Forecast for the near future."""
    long_rate: float = 0.0
    """Over a day or more."""
    used_at: int = 0
    """When a job of this model last waited or ran."""
    left_at: int = 0
    """When it was last hot anywhere."""


@dataclass(frozen=True, slots=True)
class SlotFacts:
    """One slot: its budgets, what it shall hold and what it does hold."""

    name: str
    tier: str
    vram: int
    host_memory: int
    alive: bool = True
    """A worker has reported lately and is not draining."""
    starting: bool = False
    """No worker has reported yet, but the runtime is bringing one up."""
    assigned: tuple[str, ...] | None = None
    """What it was told to hold hot; None when nothing is on record."""
    assigned_warm: tuple[str, ...] = ()
    hot: tuple[str, ...] = ()
    """What its worker reports as hot."""
    warm: tuple[str, ...] = ()
    """What its worker reports as warm."""
    batch: str | None = None
    """The model of the batch in flight."""
    hot_since: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FailedLoad:
    """A load that went wrong in one slot; not tried again there before ``retry_at``."""

    slot: str
    model: str
    retry_at: int
    attempts: int = 1
    message: str = ""
    failed_at: int = 0
    """When it was seen to have failed, Unix milliseconds."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The pool at one moment."""

    now: int
    tiers: tuple[TierFacts, ...]
    slots: tuple[SlotFacts, ...]
    models: tuple[ModelFacts, ...]
    rules: Rebalance
    failed: tuple[FailedLoad, ...] = ()
