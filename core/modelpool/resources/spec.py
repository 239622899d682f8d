"""ModelPool v1alpha1, ``spec``: which GPUs and which models there are, and the policies between them.

Data and defaults only. What one field alone can get wrong is refused here; what several fields together can get wrong
is in :mod:`modelpool.resources.checks`.
"""

from __future__ import annotations

import re
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel

from modelpool.resources.quantity import Memory, parse_bytes

NAME_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
MODEL_NAME_PATTERN = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
URI_PATTERN = r"^(file|s3)://.+$"
SHA256_PATTERN = r"^[0-9a-f]{64}$"
MONEY_PATTERN = r"^[0-9]{1,4}(\.[0-9]{1,6})?$"

Name = Annotated[str, Field(pattern=NAME_PATTERN, min_length=1, max_length=29)]
"""A DNS label, short enough for ``pool-tier-index`` to be a pod's name and the value of a label: 63 characters."""
ModelName = Annotated[str, Field(pattern=MODEL_NAME_PATTERN, min_length=1, max_length=63)]
"""A model's name as users write it; dots are welcome (``sd-1.5``)."""


def _text_in_dollars(value: object) -> object:
    if isinstance(value, int | float):
        raise ValueError(f'must be text; put it in quotes, such as "{value}"')
    if isinstance(value, str) and re.fullmatch(MONEY_PATTERN, value) is None:
        raise ValueError('must be a number, such as "0.25"')
    return value


Money = Annotated[
    Decimal,
    BeforeValidator(_text_in_dollars),
    WithJsonSchema({"type": "string", "pattern": MONEY_PATTERN, "maxLength": 11}),
]
"""An exact amount of US dollars, written as text: a number in JSON would be rounded on its way through Kubernetes."""


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

    device_class_name: str = Field(
        "gpu.nvidia.com", min_length=1, max_length=253, description="DeviceClass that the GPU is taken from."
    )
    selectors: tuple[Annotated[str, Field(min_length=1, max_length=4096)], ...] = Field(
        (),
        max_length=32,
        description="CEL expressions that a device must all satisfy, such as "
        "device.attributes['gpu.nvidia.com'].productName == 'NVIDIA L4'.",
    )


class Gpu(Resource):
    """Which GPU a slot needs."""

    mode: GpuMode = Field(
        GpuMode.DEVICE_PLUGIN,
        description="How a pod asks for its GPU: DevicePlugin requests one resourceName, ResourceClaim makes a Dynamic "
        "Resource Allocation claim as described in claim.",
    )
    resource_name: str = Field(
        "nvidia.com/gpu",
        min_length=1,
        max_length=253,
        description="Extended resource of the device plugin of which each slot requests one. A MIG profile has a name of "
        "its own, such as nvidia.com/mig-3g.20gb.",
    )
    claim: DeviceClaim | None = Field(
        None, description="What each slot claims in mode ResourceClaim; not allowed in mode DevicePlugin."
    )
    vram: Memory = Field(
        description="Memory of one GPU that modelpool may fill with weights and activations, such as 24Gi. Leave some "
        "out for the CUDA context (about 1Gi)."
    )
    node_selector: dict[str, Annotated[str, Field(max_length=63)]] = Field(
        default_factory=dict,
        max_length=32,
        description="Labels that a node must carry, such as nvidia.com/gpu.product: NVIDIA-L4. Empty: any node with a "
        "free GPU.",
    )
    tolerations: tuple[dict[str, Any], ...] = Field(
        (),
        max_length=32,
        description="Tolerations of the worker pods, as in a pod's spec, such as "
        "{key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}.",
    )
    runtime_class_name: str | None = Field(
        None,
        min_length=1,
        max_length=253,
        description="RuntimeClass of the worker pods, such as nvidia. Without it the node's default runtime is used.",
    )
    node_lost_seconds: int = Field(
        60,
        ge=10,
        le=3600,
        description="Seconds after which a slot on a node that no longer answers is given up and started elsewhere.",
    )

    @property
    def vram_bytes(self) -> int:
        """``vram`` in bytes."""
        return parse_bytes(self.vram)


class TierGpu(Resource):
    """What a tier's GPUs have different from the pool's."""

    vram: Memory | None = Field(
        None, description="Memory of one GPU of this tier that modelpool may fill, instead of the pool's gpu.vram."
    )
    resource_name: str | None = Field(
        None,
        min_length=1,
        max_length=253,
        description="Extended resource that a slot of this tier requests, instead of the pool's gpu.resourceName.",
    )
    node_selector: dict[str, Annotated[str, Field(max_length=63)]] | None = Field(
        None,
        max_length=32,
        description="Labels that a node of this tier must carry, instead of the pool's gpu.nodeSelector.",
    )


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


class Source(Resource):
    """Where a model's files are."""

    uri: str = Field(
        min_length=1,
        max_length=1024,
        pattern=URI_PATTERN,
        description="A folder in diffusers' layout with safetensors on the model volume, such as file:///models/sdxl; or a "
        "tar archive of such a folder, such as s3://bucket/sdxl.tar, which the worker fetches into its cache.",
    )
    revision: str | None = Field(
        None,
        min_length=1,
        max_length=128,
        description="Any text that names this version of the files, such as v2 or a commit. A change reloads the model "
        "and starts its result cache anew. Without it a change of uri or sha256 does.",
    )
    sha256: str | None = Field(
        None,
        max_length=64,
        pattern=SHA256_PATTERN,
        description="SHA-256 of the archive, 64 hexadecimal digits in lower case. Required for s3://, checked before "
        "anything is unpacked.",
    )

    @property
    def is_remote(self) -> bool:
        """Whether a worker has to fetch the files before it can load them."""
        return self.uri.startswith("s3://")


class Defaults(Resource):
    """Parameters of a job that does not say otherwise."""

    width: int = Field(1024, ge=16, le=8192, description="Width in pixels, a multiple of limits.sizeMultiple.")
    height: int = Field(1024, ge=16, le=8192, description="Height in pixels, a multiple of limits.sizeMultiple.")
    steps: int = Field(20, ge=1, le=1000, description="Denoising steps; distilled models need 1 to 4.")
    guidance: float = Field(
        0.0, ge=0, le=100, description="Classifier-free guidance scale. Above 1 each step is computed twice; 0 is off."
    )
    frames: int = Field(1, ge=1, le=1024, description="Frames of a video, at least 2; 1 for images.")
    fps: int = Field(8, ge=1, le=120, description="Frames per second of a video. Images ignore it.")
    strength: float = Field(
        0.6,
        gt=0,
        le=1,
        description="ImageToImage: how far the result may leave the input image; 1 ignores the input.",
    )
    motion: int = Field(127, ge=0, le=255, description="ImageToVideo: how much moves (the motion bucket of SVD).")


class Limits(Resource):
    """The largest job that the model accepts."""

    max_pixels: int = Field(
        1_572_864, ge=256, le=67_108_864, description="Most pixels of one frame, width × height; 1572864 is 1536×1024."
    )
    max_steps: int = Field(50, ge=1, le=1000, description="Most denoising steps of a job.")
    max_frames: int = Field(1, ge=1, le=1024, description="Most frames of a video; 1 for images.")
    size_multiple: int = Field(8, ge=1, le=256, description="Width and height are multiples of this many pixels.")


class BatchPolicy(Resource):
    """How jobs of this model share a forward pass."""

    max: int = Field(
        1,
        ge=1,
        le=256,
        description="Most jobs in one forward pass. activations must hold so many. The worker stops earlier where one more "
        "job gains little, or where targetSeconds would be missed.",
    )
    linger_milliseconds: int = Field(
        0,
        ge=0,
        le=10_000,
        description="Milliseconds that an idle worker waits for company before it starts a batch that is not full. 0 starts "
        "at once, which is right unless jobs arrive in bursts.",
    )


class Style(Resource):
    """A named wording around the user's prompt."""

    name: Name = Field(description="What users write as style.")
    prompt: str = Field(
        min_length=1, max_length=1500, description='The wording; {prompt} once, such as "{prompt}, anime, cel shading".'
    )
    negative: str = Field("", max_length=1500, description="What is added to the negative prompt.")


class Model(Resource):
    """One diffusion model of a tier."""

    name: ModelName = Field(description="What users write as model, such as sd-1.5. It occurs once in the whole pool.")
    tasks: tuple[Task, ...] = Field(
        (Task.TEXT_TO_IMAGE,),
        min_length=1,
        max_length=4,
        description="What the model can be asked to do. Images and videos are not mixed: list such a model twice, under two "
        "names.",
    )
    source: Source = Field(description="Where the model's files are.")
    weights: Memory = Field(
        description="Memory that the weights take on the GPU, such as 7Gi: about the size of the safetensors files in the "
        "precision used. Serves until a worker has measured it."
    )
    activations: Memory = Field(
        description="Memory that a forward pass takes on top of the weights, at batch.max jobs of the default size, such "
        "as 4Gi. Serves until a worker has measured it."
    )
    defaults: Defaults = Field(default_factory=Defaults, description="Parameters of a job that does not say otherwise.")
    limits: Limits = Field(
        default_factory=Limits, description="The largest job that is accepted; larger ones are refused by the API."
    )
    batch: BatchPolicy = Field(default_factory=BatchPolicy, description="How jobs share a forward pass.")
    quota_units: int = Field(
        1,
        ge=1,
        le=1000,
        description="Units of a user's daily quota that a job within the defaults costs; larger jobs cost more in "
        "proportion. By custom 1 for an image and 5 for a video.",
    )
    seconds_per_megapixel_step: float = Field(
        0.15,
        gt=0,
        le=1000,
        description="GPU seconds of one step over one million pixels. Used for waiting times and fairness until a worker "
        "has measured it.",
    )
    styles: tuple[Style, ...] = Field(
        (), max_length=32, description="Named wordings that users may choose. They share batches with other jobs."
    )

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


class ModelPool(BaseModel):
    """One ModelPool resource without its status."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)

    api_version: Literal["modelpool.dev/v1alpha1"]
    kind: Literal["ModelPool"]
    metadata: Metadata
    spec: ModelPoolSpec
