"""The image-to-video model: a vision tower and a UNet over the latents of the pictures' autoencoder."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MethodType

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    EulerDiscreteScheduler,
    UNetSpatioTemporalConditionModel,
)
from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from modelpool_training.autoencoder import LATENT_CHANNELS
from modelpool_training.drawing import SIZE
from modelpool_training.motion import FRAMES, FRAMES_PER_SECOND, draw_frames
from modelpool_training.pictures import LATENT_SIZE, cover, cover_of_latents, encode, encode_signal, to_signal
from modelpool_training.plan import Plan
from modelpool_training.stages import run_stage
from modelpool_training.text_to_image import shape_weight
from modelpool_training.vocabulary import STYLES, training_scenes

VISION_SIZE = 224  # pixels on each side of the picture that the pipeline hands to the vision tower
VISION_MEAN = (0.5, 0.5, 0.5)
VISION_STD = (0.5, 0.5, 0.5)

_BATCH = 4  # clips
_VISION_WIDTH = 64
_NUMBER_EMBEDDING = 32
_EMPTY_SHARE = 0.05
_SLOWEST, _FASTEST = 40.0, 200.0  # motion buckets seen in training
_MOST_NOISE_ON_PICTURE = 0.1
_MIDDLE_NOISE, _SPREAD_OF_NOISE = 1.0, 1.4  # of the noise's logarithm; where the shape goes is settled under much noise


@dataclass(frozen=True, slots=True)
class Clips:
    """Clips (count × 8 × 3 × 64 × 64, 0 to 255) and the motion bucket of each.

    `covers` (count × 8 × 1 × 16 × 16, true or false) says which latents tell of the shape.
    """

    pixels: Tensor
    covers: Tensor
    motions: Tensor


@dataclass(frozen=True, slots=True)
class ImageToVideo:
    """The trained parts of the model."""

    autoencoder: AutoencoderKL
    image_encoder: CLIPVisionModelWithProjection
    unet: UNetSpatioTemporalConditionModel


def new_video_scheduler() -> EulerDiscreteScheduler:
    """Stable Video Diffusion's scheduler; for latents this small, noise of 20 already hides everything."""
    return EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        timestep_spacing="leading",
        timestep_type="continuous",
        steps_offset=1,
        use_karras_sigmas=True,
        sigma_min=0.002,
        sigma_max=20.0,
    )


def new_vision_tower() -> CLIPVisionModelWithProjection:
    """An untrained tower that sums a picture up in one vector."""
    config = CLIPVisionConfig(
        hidden_size=_VISION_WIDTH,
        intermediate_size=2 * _VISION_WIDTH,
        projection_dim=_VISION_WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        image_size=VISION_SIZE,
        patch_size=32,
        hidden_act="gelu",
    )
    return CLIPVisionModelWithProjection(config)


def new_video_unet() -> UNetSpatioTemporalConditionModel:
    """An untrained UNet over noisy frames beside the picture's latents."""
    return UNetSpatioTemporalConditionModel(
        sample_size=LATENT_SIZE,
        in_channels=2 * LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        down_block_types=("DownBlockSpatioTemporal",) * 3,
        up_block_types=("UpBlockSpatioTemporal",) * 3,
        block_out_channels=(64, 64, 64),
        layers_per_block=1,
        num_attention_heads=(4, 4, 4),
        cross_attention_dim=_VISION_WIDTH,
        addition_time_embed_dim=_NUMBER_EMBEDDING,
        projection_class_embeddings_input_dim=3 * _NUMBER_EMBEDDING,
        num_frames=FRAMES,
    )


def draw_clips(count: int, seed: int) -> Clips:
    """Clips of training scenes, the styles in turn."""
    rng = np.random.default_rng([seed, len(STYLES)])
    scenes = training_scenes()
    motions = rng.uniform(_SLOWEST, _FASTEST, count)
    pixels = np.empty((count, FRAMES, SIZE, SIZE, 3), np.uint8)
    covers = torch.empty(count, FRAMES, 1, LATENT_SIZE, LATENT_SIZE, dtype=torch.bool)
    for number, motion in enumerate(motions):
        scene = scenes[int(rng.integers(len(scenes)))]
        pictures, masks = zip(*draw_frames(scene, STYLES[number % len(STYLES)], motion, rng), strict=True)
        pixels[number] = pictures
        covers[number] = cover_of_latents(cover(torch.from_numpy(np.stack(masks)[:, None])))
    return Clips(
        torch.from_numpy(pixels).permute(0, 1, 4, 2, 3).contiguous(), covers, torch.from_numpy(motions).float()
    )


def train_image_to_video(autoencoder: AutoencoderKL, work: Path, plan: Plan) -> ImageToVideo:
    """Train UNet and vision tower together on the latents that the autoencoder makes of clips."""
    torch.manual_seed(4)
    image_encoder, unet = new_vision_tower(), new_video_unet()
    convolve_time_flat(unet)
    trained = nn.ModuleDict({"image_encoder": image_encoder, "unet": unet})

    @cache
    def clips() -> Clips:  # drawn and encoded only if there is something left to train
        return draw_clips(plan.clips, seed=3)

    @cache
    def latents() -> Tensor:
        return torch.stack([encode(autoencoder, clip) for clip in clips().pixels])

    def loss_of_step(step: int, generator: torch.Generator) -> Tensor:
        chosen = torch.randint(plan.clips, (_BATCH,), generator=generator)
        clean, picture = latents()[chosen], to_signal(clips().pixels[chosen, 0])
        strength = _MOST_NOISE_ON_PICTURE * torch.rand(_BATCH, generator=generator)
        noisy_picture = picture + strength.view(-1, 1, 1, 1) * torch.randn(picture.shape, generator=generator)
        condition = encode_signal(autoencoder, noisy_picture)
        large = nn.functional.interpolate(picture, size=(VISION_SIZE, VISION_SIZE), mode="bicubic")
        kept = (torch.rand(_BATCH, generator=generator) >= _EMPTY_SHARE).float()
        numbers = torch.stack(
            [torch.full((_BATCH,), FRAMES_PER_SECOND - 1.0), clips().motions[chosen].round(), strength], dim=1
        )
        sigma = (_MIDDLE_NOISE + _SPREAD_OF_NOISE * torch.randn(_BATCH, generator=generator)).exp()
        level = sigma.view(-1, 1, 1, 1, 1)
        noisy = clean + level * torch.randn(clean.shape, generator=generator)
        seen = torch.cat(
            [
                noisy / (level.square() + 1).sqrt(),
                (condition * kept.view(-1, 1, 1, 1)).unsqueeze(1).expand(-1, FRAMES, -1, -1, -1),
            ],
            dim=2,
        )
        with quick_arithmetic():
            embedding = image_encoder(large).image_embeds.unsqueeze(1)
            predicted = unet(seen, 0.25 * sigma.log(), embedding * kept.view(-1, 1, 1), added_time_ids=numbers).sample
        # The scheduler reads the output so: clean = noisy / (σ² + 1) - output × σ / √(σ² + 1).
        wanted = (noisy / (level.square() + 1) - clean) * (level.square() + 1).sqrt() / level
        loss: Tensor = (shape_weight(clips().covers[chosen]) * (predicted.float() - wanted).square()).mean()
        return loss

    run_stage("shapes-motion", trained, loss_of_step, work=work, steps=plan.video_steps, learning_rate=1.5e-3)
    return ImageToVideo(autoencoder, image_encoder.requires_grad_(False), unet.requires_grad_(False))


def convolve_time_flat(module: nn.Module) -> None:
    """Let the layers across time convolve as over a picture of time by all places: the same sums, in half the time.

    On a CPU, torch has no quick way for kernels of 3 × 1 × 1, and a quick one for those of 3 × 1.
    """
    for part in module.modules():
        if isinstance(part, nn.Conv3d) and part.kernel_size == (3, 1, 1) and part.padding == (1, 0, 0):
            part.forward = MethodType(_convolve_time_flat, part)  # type: ignore[method-assign]


def _convolve_time_flat(convolution: nn.Conv3d, given: Tensor) -> Tensor:
    weight = convolution.weight.squeeze(-1)
    flat = nn.functional.conv2d(given.flatten(3), weight, convolution.bias, padding=(1, 0))
    summed: Tensor = flat.unflatten(3, given.shape[3:])
    return summed


def quick_arithmetic() -> AbstractContextManager[object]:
    """Brain floats for products and sums where the processor has them: a third faster, and as good to train with."""
    return torch.autocast("cpu", torch.bfloat16, enabled=bool(torch.cpu.get_capabilities().get("avx512_bf16")))
