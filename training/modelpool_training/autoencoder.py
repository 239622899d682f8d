"""The autoencoder that all models share: 64×64 pixels to 16×16 latents of four channels."""

from functools import cache
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from modelpool_training.drawing import SIZE
from modelpool_training.pictures import Drawings, draw_set, encode, to_signal
from modelpool_training.plan import Plan
from modelpool_training.stages import run_stage
from modelpool_training.vocabulary import STYLES

_KL_WEIGHT = 1e-6
_SHAPE_WEIGHT = 3.0
_CUT = 32  # pixels on each side of what the first steps see: a shape, and hardly more
_CUT_GRID = 8  # the mosaic's tiles; a multiple of what the encoder makes one latent of
_CUT_SHARE = 0.7  # of all steps
_CUT_BATCH, _WHOLE_BATCH = 16, 8

CHANNELS = (16, 32, 64)
LATENT_CHANNELS = 4
LATENT_NOISE = 0.1  # on scaled latents: what diffusion makes is never quite what the encoder would have made


def new_autoencoder() -> AutoencoderKL:
    """An untrained autoencoder."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * len(CHANNELS),
        up_block_types=("UpDecoderBlock2D",) * len(CHANNELS),
        block_out_channels=CHANNELS,
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=8,
        sample_size=64,
        scaling_factor=1.0,  # what the latents' spread is in the end
        mid_block_add_attention=False,  # nothing in one part of a picture tells what another part is
        use_post_quant_conv=False,
        force_upcast=False,
    )


def train_autoencoder(work: Path, plan: Plan) -> AutoencoderKL:
    """Train on drawings of every style, then bring the latents to a spread of one.

    Most of a picture is plain background, and each pixel costs the same: the first steps see a cutting around the
    shape, a quarter of the picture. The last ones see pictures whole, as the norms count all of one.
    """
    torch.manual_seed(1)
    autoencoder = new_autoencoder()

    @cache
    def drawings() -> Drawings:  # drawn only if there is something left to train
        return _join([draw_set(style, plan.drawings, seed=1) for style in STYLES])

    def loss_of_step(step: int, generator: torch.Generator) -> Tensor:
        is_cut = step < _CUT_SHARE * plan.autoencoder_steps
        signal, covers = (_cuttings if is_cut else _whole)(drawings(), generator)
        posterior = autoencoder.encode(signal).latent_dist
        spread = posterior.std + LATENT_NOISE * posterior.mean.detach().std()
        noise = torch.randn(posterior.mean.shape, generator=generator)
        decoded = autoencoder.decode(posterior.mean + spread * noise).sample
        loss: Tensor = shape_loss(decoded, signal, covers) + _KL_WEIGHT * posterior.kl().mean()
        return loss

    run_stage("autoencoder", autoencoder, loss_of_step, work=work, steps=plan.autoencoder_steps, learning_rate=2e-3)
    set_spread(autoencoder, torch.cat([draw_set(style, 128, seed=1).pixels for style in STYLES]))
    return autoencoder.requires_grad_(False)


@torch.no_grad()
def set_spread(autoencoder: AutoencoderKL, pixels: Tensor) -> None:
    """Scale the layer that makes latents, and back the one that takes them, so that those of `pixels` spread by one.

    A scaling factor would do for pictures. The video pipeline hands the picture's latents to its UNet without it.
    """
    spread = encode(autoencoder, pixels).std()
    made = autoencoder.quant_conv
    made.weight[:LATENT_CHANNELS] /= spread
    made.bias[:LATENT_CHANNELS] /= spread
    made.bias[LATENT_CHANNELS:] -= 2 * spread.log()  # logarithms of the variance
    autoencoder.decoder.conv_in.weight *= spread


def shape_loss(decoded: Tensor, signal: Tensor, covers: Tensor) -> Tensor:
    """L1 + L2 that counts a pixel of a shape several times: shapes are a tenth of a picture, and what people look at."""
    difference = decoded - signal
    loss: Tensor = ((1 + _SHAPE_WEIGHT * covers) * (difference.abs() + difference.square())).mean()
    return loss


def cutting_corners(middles: Tensor, shifts: Tensor) -> Tensor:
    """Upper left corners (count × 2, pixels) of cuttings whose middles are near those given, up to the shifts.

    They lie on the grid of the tiles, and the cuttings within the picture.
    """
    wanted = (middles + shifts - _CUT / 2) / _CUT_GRID
    return (wanted.round() * _CUT_GRID).clamp(0, SIZE - _CUT).long()


def _cuttings(drawings: Drawings, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    chosen = torch.randint(len(drawings.pixels), (_CUT_BATCH,), generator=generator)
    shifts = _CUT_GRID * (torch.rand(_CUT_BATCH, 2, generator=generator) - 0.5) * 2
    corners = cutting_corners(drawings.middles[chosen], shifts).tolist()
    windows = [
        (number, slice(None), slice(y, y + _CUT), slice(x, x + _CUT))
        for number, (x, y) in zip(chosen.tolist(), corners, strict=True)
    ]
    return (
        to_signal(torch.stack([drawings.pixels[window] for window in windows])),
        torch.stack([drawings.covers[window] for window in windows]),
    )


def _whole(drawings: Drawings, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    chosen = torch.randint(len(drawings.pixels), (_WHOLE_BATCH,), generator=generator)
    return to_signal(drawings.pixels[chosen]), drawings.covers[chosen]


def _join(sets: list[Drawings]) -> Drawings:
    return Drawings(
        torch.cat([drawings.pixels for drawings in sets]),
        [scene for drawings in sets for scene in drawings.scenes],
        torch.cat([drawings.covers for drawings in sets]),
        torch.cat([drawings.middles for drawings in sets]),
    )
