"""ModelPool v1alpha1, ``spec``: which GPUs and which models there are, and the policies between them.

Data and defaults only. What one field alone can get wrong is refused here; what several fields together can get wrong
is in :mod:`modelpool.resources.checks`.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from modelpool.resources.base import NAME_PATTERN, Money, Name, Resource
from modelpool.resources.gpu import Gpu, TierGpu
from modelpool.resources.models import Model
from modelpool.resources.quantity import Memory, parse_bytes


class Policy(StrEnum):
    """How a tier keeps its models."""

    ALWAYS = "Always"
    ROTATE = "Rotate"
    ON_DEMAND = "OnDemand"


class Device(StrEnum):
    """What a worker computes on."""

    CUDA = "cuda"
    CPU = "cpu"


class PersistentVolumeClaim(Resource):
    """A claim in the pool's namespace."""

    claim_name: str = Field(
        min_length=1,
        max_length=253,
        description="Name of a PersistentVolumeClaim in the pool's namespace. Pods on several nodes read it at once: its "
        "access mode must be ReadOnlyMany or ReadWriteMany unless one node holds all slots.",
    )


class ImageVolume(Resource):
    """An OCI image mounted as a volume."""

    reference: str = Field(
        min_length=1,
        max_length=512,
        description="OCI image whose content is the folder with the models, such as registry.example/models:3. A digest "
        "(@sha256:…) pins it.",
    )


class ModelVolume(Resource):
    """Where the model files are, mounted read-only at /models. At most one source."""

    persistent_volume_claim: PersistentVolumeClaim | None = Field(
        None, description="Take the model files from a PersistentVolumeClaim. Not together with image."
    )
    image: ImageVolume | None = Field(
        None,
        description="Take the model files from an OCI image, mounted as a volume of that type. Not together with "
        "persistentVolumeClaim.",
    )


class Tier(Resource):
    """A named group of slots with one residency policy."""

    name: Name = Field(description="Name of the tier, part of its slots' names: studio-primary-0.")
    policy: Policy = Field(
        description="Always: every model of the tier is hot on every slot of it. Rotate: models take turns by demand, "
        "ahead of it where a forecast pays. OnDemand: loaded by the first request, unloaded after idleSeconds."
    )
    slots: int = Field(ge=1, le=1000, description="How many slots, that is GPUs and worker pods, the tier has.")
    models: tuple[Model, ...] = Field(
        min_length=1,
        max_length=32,
        description="The models of the tier. Several share a slot when the sum of their weights and the largest of their "
        "activations fit into its vram.",
    )
    gpu: TierGpu = Field(default_factory=TierGpu, description="What the tier's GPUs have different from the pool's.")
    host_memory: Memory | None = Field(
        None, description="Host memory per slot for warm weights, instead of the pool's hostMemory."
    )
    idle_seconds: int = Field(
        600, ge=1, le=86_400, description="OnDemand: seconds without a job after which a model is unloaded."
    )
    lend: bool = Field(
        False,
        description="OnDemand: whether idle slots may host models of Rotate tiers. They go home the moment their own tier "
        "has a job.",
    )


class Rebalance(Resource):
    """How eagerly models follow demand."""

    interval_seconds: float = Field(
        15,
        gt=0,
        le=3600,
        description="Seconds between two looks at demand. A job for a model that is loaded nowhere does not wait for it.",
    )
    window_seconds: int = Field(
        3600, ge=60, le=604_800, description="Seconds of past demand that the forecast is made from."
    )
    horizon_seconds: int = Field(
        300, ge=10, le=86_400, description="Seconds ahead that a swap before demand must pay for itself in."
    )
    min_residency_seconds: float = Field(
        60,
        ge=0,
        le=86_400,
        description="Seconds that a model stays before another takes its place without being asked for.",
    )
    hysteresis: float = Field(
        3,
        ge=1,
        le=100,
        description="How many times the evicted model's demand the newcomer must have, before anybody asked for it. Higher "
        "means calmer.",
    )
    max_concurrent_loads: int = Field(
        2, ge=1, le=100, description="Most loads at once in the whole pool; loads compete for disk and bus."
    )
    dry_run: bool = Field(
        False,
        description="Plan swaps ahead of demand, but make none. Always tiers and jobs for models that "
        "are loaded nowhere still load.",
    )


class WorkerSpec(Resource):
    """How worker processes are run."""

    image: str | None = Field(
        None, min_length=1, max_length=512, description="Image of the worker. Without it the operator's own default."
    )
    device: Device = Field(
        Device.CUDA,
        description="What the worker computes on: cuda takes one GPU, cpu the pod's cores (to try things out).",
    )
    resources: dict[str, Any] = Field(
        default_factory=dict,
        description="Requests and limits of the worker container, as in a pod's spec. Memory (hostMemory + workerOverhead, and "
        "vram where device is cpu) and the GPU are added where they are not said.",
    )
    pod_template: dict[str, Any] = Field(
        default_factory=dict,
        description="A pod template (metadata and spec) laid over the one that the operator makes. Containers, env, volumes "
        "and volumeMounts merge by name, the worker's container is called worker; other lists replace. What the API server "
        "refuses as a pod makes the pool Degraded, with the API server's words.",
    )


class Cost(Resource):
    """What the owner pays, in US dollars."""

    gpu_hour_usd: Money = Field(
        Decimal("0.25"),
        alias="gpuHourUSD",
        description="US dollars that one GPU costs in an hour, in quotes. Own hardware: price / lifetime + power.",
    )
    cloud_per_generation_usd: Money = Field(
        Decimal("0.03"),
        alias="cloudPerGenerationUSD",
        description="US dollars that a hosted API takes for one image, in quotes, to compare with.",
    )


class ModelPoolSpec(Resource):
    """The whole ``spec``."""

    default: bool = Field(
        False,
        description="Whether a model name without a pool in front (sdxl, not studio/sdxl) is looked up here first.",
    )
    target_seconds: float = Field(
        10,
        gt=0,
        le=3600,
        description="Seconds within which interactive users are promised their result. Batches grow and queues are cut off "
        "so that it holds.",
    )
    gpu: Gpu = Field(description="Which GPU a slot needs, and how much of its memory may be filled.")
    host_memory: Memory = Field(
        "64Gi",
        description="Host memory per slot for warm weights, a copy away from the GPU. The pod's memory limit is this plus "
        "workerOverhead, and with worker.device cpu plus the slot's vram.",
    )
    worker_overhead: Memory = Field(
        "6Gi", description="Host memory per slot for the worker process itself: Python, torch, CUDA, buffers."
    )
    model_volume: ModelVolume = Field(
        default_factory=ModelVolume,
        description="Where the model files are, mounted read-only at /models. Not needed when every model comes from s3://.",
    )
    tiers: tuple[Tier, ...] = Field(
        min_length=1,
        max_length=8,
        description="Groups of slots with one policy each, such as a primary model that is always ready, others that take "
        "turns, and one for video.",
    )
    rebalance: Rebalance = Field(default_factory=Rebalance, description="How eagerly models follow demand.")
    worker: WorkerSpec = Field(default_factory=WorkerSpec, description="How the worker pods are run.")
    cost: Cost = Field(
        default_factory=Cost,
        description="What the owner pays, for status.cost: dollars a generation and the comparison.",
    )

    def tier_vram(self, tier: Tier) -> int:
        """Bytes of VRAM of one slot of ``tier``."""
        return parse_bytes(tier.gpu.vram) if tier.gpu.vram is not None else self.gpu.vram_bytes

    def tier_host_memory(self, tier: Tier) -> int:
        """Bytes of host RAM for warm weights of one slot of ``tier``."""
        return parse_bytes(tier.host_memory or self.host_memory)


class Metadata(BaseModel):
    """The part of Kubernetes' object metadata that modelpool reads; the rest is kept out of the way."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    name: Name
    namespace: Annotated[str, Field(pattern=NAME_PATTERN, max_length=63)] = "default"
    generation: int = 1
    annotations: dict[str, Any] | None = None


class ModelPool(BaseModel):
    """One ModelPool resource without its status."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)

    api_version: Literal["modelpool.dev/v1alpha1"]
    kind: Literal["ModelPool"]
    metadata: Metadata
    spec: ModelPoolSpec
