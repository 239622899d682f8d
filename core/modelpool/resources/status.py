"""ModelPool v1alpha1, ``status``: what the operator found and did, told truthfully."""

from __future__ import annotations

from enum import StrEnum

from modelpool.jobs import Document
from modelpool.slots import SlotPhase


class ModelState(StrEnum):
    """The best state of a model over all slots."""

    HOT = "Hot"
    WARM = "Warm"
    COLD = "Cold"
    FETCHING = "Fetching"
    LOADING = "Loading"
    FAILED = "Failed"


class Condition(Document):
    """A Kubernetes condition. ``reason`` in CamelCase, ``message`` one plain sentence."""

    type: str
    status: str
    reason: str
    message: str
    observed_generation: int = 0
    last_transition_time: str = ""


class GpuStatus(Document):
    """One slot. ``planned`` is what it will hold, ``reason`` why it is not ready or why it changes."""

    slot: str
    tier: str
    node: str = ""
    uuid: str = ""
    pod: str = ""
    phase: SlotPhase
    hot: tuple[str, ...] = ()
    warm: tuple[str, ...] = ()
    planned: tuple[str, ...] = ()
    reason: str = ""
    since: int = 0
    """Unix milliseconds of the last change of phase or hot set."""


class ModelStatus(Document):
    """One model. Rates are jobs per minute; ``weights`` as a quantity."""

    name: str
    tier: str
    state: ModelState
    replicas: int = 0
    queued: int = 0
    per_minute: float = 0
    forecast_per_minute: float = 0
    weights: str = ""
    load_seconds: float | None = None
    last_failure: str | None = None


class CostStatus(Document):
    """What a generation costs."""

    per_generation_usd: str | None = None
    useful_share: float | None = None


class ModelPoolStatus(Document):
    """The whole ``status``."""

    observed_generation: int = 0
    epoch: int = 0
    slots: int = 0
    ready_slots: int = 0
    hot_models: int = 0
    queued: int = 0
    conditions: tuple[Condition, ...] = ()
    gpus: tuple[GpuStatus, ...] = ()
    models: tuple[ModelStatus, ...] = ()
    cost: CostStatus | None = None
    updated_at: int = 0
