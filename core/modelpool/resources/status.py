"""ModelPool v1alpha1, ``status``: what the operator found and did, told truthfully."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

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

    type: str = Field(
        description="Ready (all slots run and hold what they must), Progressing (workers start or models load), Degraded "
        "(somebody should look) or DemandSourceAvailable (demand can be read where it is measured)."
    )
    status: str = Field(description="True, False or Unknown.")
    reason: str = Field(description="Why, as one word for machines.")
    message: str = Field(description="Why, as one sentence for people.")
    observed_generation: int = Field(0, description="The metadata.generation that the condition is about.")
    last_transition_time: str = Field("", description="When status last changed, in RFC 3339.")


class GpuStatus(Document):
    """One slot. ``planned`` is what it will hold, ``reason`` why it is not ready or why it changes."""

    slot: str = Field(description="Name of the slot, such as studio-primary-0.")
    tier: str = Field(description="The tier that it belongs to.")
    node: str = Field("", description="The node that its pod runs on.")
    uuid: str = Field("", description="The GPU that it got, by the driver's UUID, as its worker reports it.")
    pod: str = Field("", description="Its pod, in the pool's namespace.")
    phase: SlotPhase = Field(
        description="Pending (no pod or no GPU yet), Starting, Ready, Draining (finishes what runs, then ends), Restarting "
        "(crashed, waits for its back-off) or Failed."
    )
    hot: tuple[str, ...] = Field((), description="Models whose weights are on the GPU: they serve.")
    warm: tuple[str, ...] = Field((), description="Models whose weights are in host memory, a copy away from the GPU.")
    planned: tuple[str, ...] = Field((), description="Models that the slot is to hold hot.")
    reason: str = Field("", description="Why it is not ready, or why what it holds changes.")
    since: int = Field(0, description="When phase or hot last changed, in Unix milliseconds.")


class ModelStatus(Document):
    """One model. Rates are jobs per minute; ``weights`` as a quantity."""

    name: str = Field(description="Name of the model.")
    tier: str = Field(description="The tier that it belongs to.")
    state: ModelState = Field(
        description="Its best state over all slots: Hot (serves), Loading, Fetching (its archive is downloaded), Warm (in "
        "host memory), Cold (on disk) or Failed."
    )
    replicas: int = Field(0, description="How many slots hold it hot.")
    queued: int = Field(0, description="How many of its jobs wait.")
    per_minute: float = Field(0, description="Jobs asked for in a minute, lately.")
    forecast_per_minute: float = Field(0, description="Jobs expected in a minute, over rebalance.horizonSeconds.")
    weights: str = Field("", description="Memory of its weights, measured where a worker has held it, else the spec's.")
    load_seconds: float | None = Field(
        None, description="Seconds that a load is expected to take, once one has been measured."
    )
    last_failure: str | None = Field(None, description="Why it could not be loaded, the last time that it could not.")


class CostStatus(Document):
    """What a generation costs."""

    per_generation_usd: str | None = Field(
        None, alias="perGenerationUSD", description="US dollars that a generation costs on these GPUs."
    )
    useful_share: float | None = Field(
        None, description="Share of the GPUs' time, 0 to 1, that went into results. The rest was loading and waiting."
    )


class ModelPoolStatus(Document):
    """The whole ``status``."""

    observed_generation: int = Field(0, description="The metadata.generation that the operator last acted on.")
    epoch: int = Field(0, description="Number of the operator's life; a higher one fences off its predecessors.")
    slots: int = Field(0, description="How many slots the tiers have together.")
    ready_slots: int = Field(0, description="How many of them have a running worker.")
    hot_models: int = Field(0, description="How many models serve.")
    queued: int = Field(0, description="How many jobs wait.")
    conditions: tuple[Condition, ...] = Field((), description="What kubectl wait can wait for.")
    gpus: tuple[GpuStatus, ...] = Field((), description="One entry for each slot.")
    models: tuple[ModelStatus, ...] = Field((), description="One entry for each model.")
    cost: CostStatus | None = Field(None, description="What a generation costs, once there was one.")
    updated_at: int = Field(0, description="When this status was written, in Unix milliseconds.")
