"""From job requests to the keyword arguments of a stock diffusers pipeline. Pure: no torch, no pipeline object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PIL import Image, ImageOps

from modelpool.errors import UnusableJob
from modelpool.jobs import JobRequest
from modelpool.resources.models import Task

NOISE_ON_INPUT = 0.02
"""How far Stable Video Diffusion may leave its input picture; the pipeline's own default."""
DECODED_AT_ONCE = 8
"""Video frames that the VAE decodes in one go: bounds the memory of long videos."""
LEAST_DECODED_AT_ONCE = 4
"""Fewer frames in one go would flicker: such videos are decoded whole."""


def reason_unusable(request: JobRequest, image: Image.Image | None, accepted: frozenset[str]) -> UnusableJob | None:
    """Why no retry can help this job, or None. ``accepted`` are the pipeline's parameters."""
    if request.adapters:
        return UnusableJob("this worker does not load adapters", param="adapters")
    if request.task.wants_image and image is None:
        return UnusableJob("the input image is missing", param="image")
    if request.task.wants_image and "image" not in accepted:
        return UnusableJob(f"the model {request.model!r} takes no input image", param="image")
    if request.task is Task.IMAGE_TO_IMAGE and request.steps * request.strength < 1:
        return UnusableJob("steps × strength must be at least 1", param="strength")
    if request.negative_prompt and request.guidance > 1 and not accepted & {"negative_prompt", "max_guidance_scale"}:
        return UnusableJob(f"the model {request.model!r} takes no negative prompt", param="negative_prompt")
    return None


def call_arguments(
    requests: Sequence[JobRequest], images: Sequence[Image.Image | None], accepted: frozenset[str]
) -> dict[str, Any]:
    """What the pipeline is called with, without prompt texts, generators and callback.

    The requests share both keys, so what a pipeline takes once per call comes from the first.
    """
    first = requests[0]
    arguments: dict[str, Any] = {
        "width": first.width,
        "height": first.height,
        "num_inference_steps": first.steps,
        "guidance_scale": first.guidance,
        "output_type": "np",
    }
    if first.task.wants_image:
        arguments["image"] = [fitted(image, first.width, first.height) for image in images if image is not None]
    if first.task is Task.IMAGE_TO_IMAGE:
        arguments["strength"] = first.strength
    if first.task.makes_video:
        arguments |= {
            "num_frames": first.frames,
            "fps": first.fps,
            "motion_bucket_id": first.motion,
            "noise_aug_strength": NOISE_ON_INPUT,
            "decode_chunk_size": decode_chunk(first.frames),
            # Stable Video Diffusion raises guidance from the first frame to the last.
            "min_guidance_scale": 1.0,
            "max_guidance_scale": max(1.0, first.guidance),
        }
    return {name: value for name, value in arguments.items() if name in accepted}


def prompt_arguments(requests: Sequence[JobRequest], accepted: frozenset[str]) -> dict[str, Any]:
    """Prompt texts, one a request. No negative prompts at all is said as None, which pipelines may treat specially."""
    negatives: list[str] | None = [request.negative_prompt for request in requests]
    if not any(negatives or ()):
        negatives = None
    texts = {"prompt": [request.prompt for request in requests], "negative_prompt": negatives}
    return {name: value for name, value in texts.items() if name in accepted}


def decode_chunk(frames: int) -> int:
    """How many frames the VAE decodes in one go: a divisor of ``frames``.

    Stable Video Diffusion lays the videos of a batch end to end and cuts that into chunks. A chunk that held the end of
    one video and the beginning of the next would mix them: one user's picture would show in another's.
    """
    divisors = [size for size in range(LEAST_DECODED_AT_ONCE, DECODED_AT_ONCE + 1) if frames % size == 0]
    return max(divisors, default=frames)


def mixes_empty_negatives(requests: Sequence[JobRequest]) -> bool:
    """Whether some requests have a negative prompt and others none."""
    return len({bool(request.negative_prompt) for request in requests}) > 1


def fitted(image: Image.Image, width: int, height: int) -> Image.Image:
    """RGB of exactly this size: scaled to cover it, the rest cropped evenly."""
    rgb = image if image.mode == "RGB" else image.convert("RGB")
    return rgb if rgb.size == (width, height) else ImageOps.fit(rgb, (width, height), Image.Resampling.LANCZOS)
