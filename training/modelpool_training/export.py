"""Write trained parts as folders that diffusers' pipelines load."""

import shutil
from copy import deepcopy
from pathlib import Path
from tempfile import mkdtemp
from typing import TypeVar

from diffusers import (
    AutoencoderKL,
    DiffusionPipeline,
    StableDiffusionXLPipeline,
    StableVideoDiffusionPipeline,
    UNet2DConditionModel,
)
from torch import nn
from transformers import CLIPImageProcessorPil, CLIPTextModelWithProjection, CLIPTokenizer

from modelpool_training.image_to_video import VISION_MEAN, VISION_SIZE, VISION_STD, ImageToVideo, new_video_scheduler
from modelpool_training.text_to_image import new_scheduler

Module = TypeVar("Module", bound=nn.Module)


def export_text_to_image(
    unet: UNet2DConditionModel,
    autoencoder: AutoencoderKL,
    tokenizer: CLIPTokenizer,
    text_encoder: CLIPTextModelWithProjection,
    folder: Path,
) -> None:
    """Write a Stable Diffusion XL pipeline with one text encoder, as SDXL's refiner has it."""
    pipeline = StableDiffusionXLPipeline(
        vae=_half(autoencoder),
        text_encoder=None,
        tokenizer=None,
        text_encoder_2=_half(text_encoder),
        tokenizer_2=tokenizer,
        unet=_half(unet),
        scheduler=new_scheduler(),
        force_zeros_for_empty_prompt=False,  # the text encoder was trained on the empty prompt
        add_watermarker=False,
    )
    _save(pipeline, folder)


def export_image_to_video(model: ImageToVideo, folder: Path) -> None:
    """Write a Stable Video Diffusion pipeline."""
    processor = CLIPImageProcessorPil(  # the one that needs no torchvision
        size={"shortest_edge": VISION_SIZE},
        crop_size={"height": VISION_SIZE, "width": VISION_SIZE},
        image_mean=list(VISION_MEAN),
        image_std=list(VISION_STD),
    )
    pipeline = StableVideoDiffusionPipeline(
        vae=_half(model.autoencoder),
        image_encoder=_half(model.image_encoder),
        unet=_half(model.unet),
        scheduler=new_video_scheduler(),
        feature_extractor=processor,
    )
    _save(pipeline, folder)


def _half(module: Module) -> Module:
    """A copy in half precision: the next model is fine-tuned from the original."""
    return nn.Module.half(deepcopy(module))  # torch's own: diffusers' warns of lost precision at each call


def _save(pipeline: DiffusionPipeline, folder: Path) -> None:
    """Write beside `folder`, then put it in its place: a reader never sees half a model."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    pipeline.save_pretrained(fresh, safe_serialization=True)
    fresh.chmod(0o755)
    if folder.exists():
        old = Path(mkdtemp(prefix=f".{folder.name}-old-", dir=folder.parent))
        folder.rename(old / folder.name)
        fresh.rename(folder)
        shutil.rmtree(old)
    else:
        fresh.rename(folder)
