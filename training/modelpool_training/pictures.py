"""Sets of drawings as tensors, and what the autoencoder makes of them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from modelpool_training.drawing import draw
from modelpool_training.vocabulary import STYLES, Scene, training_scenes


@dataclass(frozen=True, slots=True)
class Drawings:
    """Pictures (count × 3 × 64 × 64, 0 to 255) and the scene of each."""

    pixels: Tensor
    scenes: list[Scene]


def draw_set(style: str, count: int, seed: int) -> Drawings:
    """`count` training scenes drawn in one style, every scene about equally often."""
    rng = np.random.default_rng([seed, STYLES.index(style)])
    scenes = _choose_scenes(count, rng)
    pixels = np.stack([draw(scene, style, rng) for scene in scenes])
    return Drawings(torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(), scenes)


def to_signal(pixels: Tensor) -> Tensor:
    """Pixels of 0 to 255 as the models see them: -1 to 1."""
    return pixels.float() / 127.5 - 1


@torch.no_grad()
def encode(autoencoder: AutoencoderKL, pixels: Tensor) -> Tensor:
    """Latents (count × 4 × 16 × 16) as the diffusion models see them: scaled to a spread of about one."""
    parts = [autoencoder.encode(to_signal(part)).latent_dist.mode() for part in torch.split(pixels, 128)]
    latents: Tensor = torch.cat(parts) * autoencoder.config.scaling_factor
    return latents


def encoded_set(
    autoencoder: AutoencoderKL, style: str, count: int, seed: int, work: Path
) -> tuple[Tensor, list[Scene]]:
    """Latents and scenes of a set of drawings; kept in the work folder, as drawing and encoding take a while."""
    file = work / f"latents-{style}.pt"
    if file.exists():
        latents: Tensor = torch.load(file, weights_only=True)
        if len(latents) == count:
            return latents, _choose_scenes(count, np.random.default_rng([seed, STYLES.index(style)]))
    drawings = draw_set(style, count, seed)
    latents = encode(autoencoder, drawings.pixels)
    torch.save(latents, file)
    return latents, drawings.scenes


def _choose_scenes(count: int, rng: np.random.Generator) -> list[Scene]:
    choices = training_scenes()
    rounds = -(-count // len(choices))
    order = np.concatenate([rng.permutation(len(choices)) for _ in range(rounds)])[:count]
    return [choices[int(index)] for index in order]
