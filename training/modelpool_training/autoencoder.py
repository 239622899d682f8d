"""The autoencoder that all models share: 64×64 pixels to 16×16 latents of four channels."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from modelpool_training.pictures import draw_set, to_signal
from modelpool_training.plan import Plan
from modelpool_training.stages import run_stage
from modelpool_training.vocabulary import STYLES

_BATCH = 32
_KL_WEIGHT = 1e-6
_SHAPE_WEIGHT = 3.0

CHANNELS = (16, 32, 64)
LATENT_CHANNELS = 4
LATENT_NOISE = 0.05  # on scaled latents: what diffusion makes is never quite what the encoder would have made


def new_autoencoder() -> AutoencoderKL:
    """An untrained autoencoder. It has no second quantising layer, as the one for video has none either."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * len(CHANNELS),
        up_block_types=("UpDecoderBlock2D",) * len(CHANNELS),
        block_out_channels=CHANNELS,
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=8,
        sample_size=64,
        use_post_quant_conv=False,
        force_upcast=False,
    )


def train_autoencoder(work: Path, plan: Plan) -> AutoencoderKL:
    """Train on drawings of every style, then measure the spread of the latents and write it down as scale."""
    torch.manual_seed(1)
    autoencoder = new_autoencoder()

    @cache
    def pixels() -> Tensor:  # drawn only if there is something left to train
        return _drawings(plan.drawings)

    def loss_of_step(step: int, generator: torch.Generator) -> Tensor:
        signal = _some(pixels(), generator)
        posterior = autoencoder.encode(signal).latent_dist
        noise = torch.randn(posterior.mean.shape, generator=generator)
        difference = autoencoder.decode(posterior.mean + posterior.std * noise).sample - signal
        loss: Tensor = difference.abs().mean() + difference.square().mean() + _KL_WEIGHT * posterior.kl().mean()
        return loss

    run_stage("autoencoder", autoencoder, loss_of_step, work=work, steps=plan.autoencoder_steps, learning_rate=2e-3)
    _set_scale(autoencoder, _drawings(128))
    autoencoder.requires_grad_(False)
    _train_decoder(autoencoder, pixels, work, plan)
    return autoencoder


def _train_decoder(autoencoder: AutoencoderKL, pixels: Callable[[], Tensor], work: Path, plan: Plan) -> None:
    """Train the decoder on alone, with an eye on the shapes; the latents stay what they are."""
    decoder = autoencoder.decoder.requires_grad_(True)

    def loss_of_step(step: int, generator: torch.Generator) -> Tensor:
        signal = _some(pixels(), generator)
        latents = encode_mean(autoencoder, signal)
        noise = LATENT_NOISE * torch.randn(latents.shape, generator=generator)
        return shape_loss(decoder((latents + noise) / autoencoder.config.scaling_factor), signal)

    run_stage("decoder", decoder, loss_of_step, work=work, steps=plan.decoder_steps, learning_rate=1e-3)
    decoder.requires_grad_(False)


@torch.no_grad()
def encode_mean(autoencoder: AutoencoderKL, signal: Tensor) -> Tensor:
    """Latents of pictures (count × 3 × 64 × 64, -1 to 1), scaled to a spread of about one."""
    latents: Tensor = autoencoder.encode(signal).latent_dist.mode() * autoencoder.config.scaling_factor
    return latents


def shape_loss(decoded: Tensor, signal: Tensor) -> Tensor:
    """L1 + L2 that counts a pixel of a shape several times: shapes are a tenth of a picture, and what people look at."""
    ground = signal[..., 1::62, 1::62].flatten(2).median(dim=2).values[..., None, None]  # the four corners'
    weight = 1 + _SHAPE_WEIGHT * ((signal - ground).abs().amax(dim=1, keepdim=True) > 0.3)
    difference = decoded - signal
    return (weight * (difference.abs() + difference.square())).mean()


def _drawings(count: int) -> Tensor:
    return torch.cat([draw_set(style, count, seed=1).pixels for style in STYLES])


def _some(pixels: Tensor, generator: torch.Generator) -> Tensor:
    return to_signal(pixels[torch.randint(len(pixels), (_BATCH,), generator=generator)])


@torch.no_grad()
def _set_scale(autoencoder: AutoencoderKL, pixels: Tensor) -> None:
    parts = [autoencoder.encode(to_signal(part)).latent_dist.mean for part in torch.split(pixels, 128)]
    autoencoder.register_to_config(scaling_factor=round(1 / float(torch.cat(parts).std()), 4))
