"""Make pictures and clips with a model's folder, through the same calls as for any other model."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from diffusers import DiffusionPipeline
from PIL import Image

from modelpool_training.drawing import SIZE, Picture
from modelpool_training.motion import FRAMES, FRAMES_PER_SECOND, MOTION

Item = TypeVar("Item")

STEPS = 16
GUIDANCE = 3.0
VIDEO_STEPS = 12
VIDEO_GUIDANCE = 1.0
"""At 1 the video model runs once a step; its input picture says all there is to say."""

_BATCH = 20
_VIDEO_BATCH = 5


def load_pipeline(folder: Path) -> DiffusionPipeline:
    """The pipeline in a folder, in single precision on the CPU."""
    pipeline = DiffusionPipeline.from_pretrained(
        str(folder), dtype=torch.float32, use_safetensors=True, local_files_only=True
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def make_pictures(
    pipeline: DiffusionPipeline, prompts: Sequence[str], first_seed: int, *, steps: int = STEPS
) -> Iterator[Picture]:
    """One picture a prompt, each from its own seed, whatever else is in the batch."""
    for part in _parts(list(enumerate(prompts, start=first_seed)), _BATCH):
        images = pipeline(
            prompt=[prompt for _, prompt in part],
            generator=[torch.Generator().manual_seed(seed) for seed, _ in part],
            num_inference_steps=steps,
            guidance_scale=GUIDANCE,
        ).images
        yield from (np.asarray(image) for image in images)


def make_clips(
    pipeline: DiffusionPipeline, pictures: Sequence[Picture], first_seed: int, *, motion: int = MOTION
) -> Iterator[list[Picture]]:
    """One clip a picture, each from its own seed."""
    for part in _parts(list(enumerate(pictures, start=first_seed)), _VIDEO_BATCH):
        clips = pipeline(
            image=[Image.fromarray(picture) for _, picture in part],
            generator=[torch.Generator().manual_seed(seed) for seed, _ in part],
            height=SIZE,
            width=SIZE,
            num_frames=FRAMES,
            fps=FRAMES_PER_SECOND,
            motion_bucket_id=motion,
            num_inference_steps=VIDEO_STEPS,
            min_guidance_scale=VIDEO_GUIDANCE,
            max_guidance_scale=VIDEO_GUIDANCE,
        ).frames
        yield from ([np.asarray(frame) for frame in clip] for clip in clips)


def _parts(items: list[Item], size: int) -> Iterator[list[Item]]:
    return (items[first : first + size] for first in range(0, len(items), size))
