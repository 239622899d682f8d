"""ModelPool v1alpha1, ``spec.tiers[].models[]``: what a model is, where its files are, what it may be asked for."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from modelpool.resources.base import ModelName, Name, Resource
from modelpool.resources.quantity import Memory, parse_bytes

URI_PATTERN = r"^(file|s3)://.+$"
SHA256_PATTERN = r"^[0-9a-f]{64}$"


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
