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

from modelpool.resources.quantity import Memory, parse_bytes

NAME_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"

Name = Annotated[str, Field(pattern=NAME_PATTERN, min_length=1, max_length=40)]
"""A DNS label, short enough for ``pool-tier-index`` to be a pod name."""
ModelName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", min_length=1, max_length=63)]
"""A model's name as users write it; dots are welcome (``sd-1.5``)."""


class Resource(BaseModel):
    """Base of everything in the resource: camelCase outside, snake_case inside, unknown fields refused."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, use_enum_values=False
    )


class Task(StrEnum):
    """What a model can be asked to do."""

    TEXT_TO_IMAGE = "TextToImage"
    IMAGE_TO_IMAGE = "ImageToImage"
    IMAGE_TO_VIDEO = "ImageToVideo"
    TEXT_TO_VIDEO = "TextToVideo"

    @property
    def wants_image(self) -> bool:
        """Whether a job of this task carries an input image."""
        return self in (Task.IMAGE_TO_IMAGE, Task.IMAGE_TO_VIDEO)

    @property
    def makes_video(self) -> bool:
        """Whether the result is a video."""
        return self in (Task.IMAGE_TO_VIDEO, Task.TEXT_TO_VIDEO)


class Policy(StrEnum):
    """How a tier keeps its models."""

    ALWAYS = "Always"
    ROTATE = "Rotate"
    ON_DEMAND = "OnDemand"


class GpuMode(StrEnum):
    """How a pod asks for its GPU."""

    DEVICE_PLUGIN = "DevicePlugin"
    RESOURCE_CLAIM = "ResourceClaim"


class Device(StrEnum):
    """What a worker computes on."""

    CUDA = "cuda"
    CPU = "cpu"


class DeviceClaim(Resource):
    """A Dynamic Resource Allocation request (resource.k8s.io/v1)."""

    device_class_name: str = Field("gpu.nvidia.com", max_length=253)
    selectors: tuple[str, ...] = Field((), max_length=32, description="CEL expressions that a device must satisfy.")


class Gpu(Resource):
    """Which GPU a slot needs."""

    mode: GpuMode = GpuMode.DEVICE_PLUGIN
    resource_name: str = Field("nvidia.com/gpu", max_length=253, description="Extended resource of the device plugin.")
    claim: DeviceClaim | None = None
    vram: Memory = Field(description="Memory of one GPU that modelpool may fill.")
    node_selector: dict[str, str] = Field(default_factory=dict)
    tolerations: tuple[dict[str, Any], ...] = Field((), max_length=32)
    runtime_class_name: str | None = Field(None, max_length=253)
    node_lost_seconds: int = Field(60, ge=10, le=3600)

    @property
    def vram_bytes(self) -> int:
        """``vram`` in bytes."""
        return parse_bytes(self.vram)


class TierGpu(Resource):
    """What a tier's GPUs have different from the pool's."""

    vram: Memory | None = None
    resource_name: str | None = Field(None, max_length=253)
    node_selector: dict[str, str] | None = None


class PersistentVolumeClaim(Resource):
    """A claim in the pool's namespace."""

    claim_name: str = Field(min_length=1, max_length=253)


class ImageVolume(Resource):
    """An OCI image mounted as a volume."""

    reference: str = Field(min_length=1, max_length=512)


class ModelVolume(Resource):
    """Where the model files are, mounted read-only at /models. At most one source."""

    persistent_volume_claim: PersistentVolumeClaim | None = None
    image: ImageVolume | None = None


class Source(Resource):
    """Where a model's files are."""

    uri: str = Field(min_length=1, max_length=1024, pattern=r"^(file|s3)://.+$")
    revision: str | None = Field(None, max_length=128, description="Pins a version; a change reloads the model.")
    sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$", description="Of the archive; required for s3://.")


class Defaults(Resource):
    """Parameters of a job that does not say otherwise."""

    width: int = Field(1024, ge=16, le=8192)
    height: int = Field(1024, ge=16, le=8192)
    steps: int = Field(20, ge=1, le=1000)
    guidance: float = Field(0.0, ge=0, le=100)
    frames: int = Field(1, ge=1, le=1024)
    fps: int = Field(8, ge=1, le=120)
    strength: float = Field(0.6, gt=0, le=1)
    motion: int = Field(127, ge=0, le=255)


class Limits(Resource):
    """The largest job that the model accepts."""

    max_pixels: int = Field(1_572_864, ge=256, le=67_108_864)
    max_steps: int = Field(50, ge=1, le=1000)
    max_frames: int = Field(1, ge=1, le=1024)
    size_multiple: int = Field(8, ge=1, le=256, description="Width and height are multiples of this.")


class BatchPolicy(Resource):
    """How jobs of this model share a forward pass."""

    max: int = Field(1, ge=1, le=256)
    linger_milliseconds: int = Field(0, ge=0, le=10_000)


class Style(Resource):
    """A named wording around the user's prompt."""

    name: Name
    prompt: str = Field(min_length=1, max_length=2000, description="Holds {prompt} once.")
    negative: str = Field("", max_length=2000)


class Model(Resource):
    """One diffusion model of a tier."""

    name: ModelName
    tasks: tuple[Task, ...] = Field((Task.TEXT_TO_IMAGE,), min_length=1, max_length=4)
    source: Source
    weights: Memory = Field(description="Memory of the weights, until measured.")
    activations: Memory = Field(description="Memory of the activations at the batch cap, until measured.")
    defaults: Defaults = Field(default_factory=Defaults)
    limits: Limits = Field(default_factory=Limits)
    batch: BatchPolicy = Field(default_factory=BatchPolicy)
    quota_units: int = Field(1, ge=1, le=1000)
    seconds_per_megapixel_step: float = Field(0.15, gt=0, le=1000)
    styles: tuple[Style, ...] = Field((), max_length=64)

    @property
    def weights_bytes(self) -> int:
        """``weights`` in bytes."""
        return parse_bytes(self.weights)

    @property
    def activations_bytes(self) -> int:
        """``activations`` in bytes."""
        return parse_bytes(self.activations)


class Tier(Resource):
    """A named group of slots with one residency policy."""

    name: Name
    policy: Policy
    slots: int = Field(ge=1, le=1000)
    models: tuple[Model, ...] = Field(min_length=1, max_length=32)
    gpu: TierGpu = Field(default_factory=TierGpu)
    host_memory: Memory | None = Field(None, description="Per slot, instead of the pool's hostMemory.")
    idle_seconds: int = Field(600, ge=1, le=86_400, description="OnDemand: unload after this long without a job.")
    lend: bool = Field(False, description="OnDemand: idle slots may host models of Rotate tiers.")


class Rebalance(Resource):
    """How eagerly models follow demand."""

    interval_seconds: float = Field(15, gt=0, le=3600)
    window_seconds: int = Field(3600, ge=60, le=604_800)
    horizon_seconds: int = Field(300, ge=10, le=86_400)
    min_residency_seconds: float = Field(60, ge=0, le=86_400)
    hysteresis: float = Field(3, ge=1, le=100)
    max_concurrent_loads: int = Field(2, ge=1, le=100)
    dry_run: bool = False


class WorkerSpec(Resource):
    """How worker processes are run."""

    image: str | None = Field(None, max_length=512)
    device: Device = Device.CUDA
    resources: dict[str, Any] = Field(default_factory=dict)
    pod_template: dict[str, Any] = Field(default_factory=dict)


class Cost(Resource):
    """What the owner pays, in US dollars."""

    gpu_hour_usd: Annotated[Decimal, Field(ge=0, le=10_000)] = Field(Decimal("0.25"), alias="gpuHourUSD")
    cloud_per_generation_usd: Annotated[Decimal, Field(ge=0, le=10_000)] = Field(
        Decimal("0.03"), alias="cloudPerGenerationUSD"
    )


class ModelPoolSpec(Resource):
    """The whole ``spec``."""

    default: bool = Field(False, description="A bare model name resolves in this pool first.")
    target_seconds: float = Field(10, gt=0, le=3600, description="The promise to interactive users.")
    gpu: Gpu
    host_memory: Memory = Field("64Gi", description="Per slot, for warm weights.")
    worker_overhead: Memory = Field("6Gi", description="Per slot, for the process itself.")
    model_volume: ModelVolume = Field(default_factory=ModelVolume)
    tiers: tuple[Tier, ...] = Field(min_length=1, max_length=8)
    rebalance: Rebalance = Field(default_factory=Rebalance)
    worker: WorkerSpec = Field(default_factory=WorkerSpec)
    cost: Cost = Field(default_factory=Cost)

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


class ModelPool(BaseModel):
    """One ModelPool resource without its status."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)

    api_version: Literal["modelpool.dev/v1alpha1"]
    kind: Literal["ModelPool"]
    metadata: Metadata
    spec: ModelPoolSpec
