"""Sets of drawings as tensors, and what the autoencoder makes of them."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from modelpool_training.drawing import SIZE, choose_pose, draw_at, filled_mask
from modelpool_training.stages import save_whole
from modelpool_training.vocabulary import STYLES, Scene, training_scenes

LATENT_SIZE = 16  # latents on each side of a picture

_HALO = 2  # pixels around a shape that count as covered by it: its edge, its line, the begin of its glow


@dataclass(frozen=True, slots=True)
class Drawings:
    """Pictures (count × 3 × 64 × 64, 0 to 255) and the scene of each.

    `covers` (count × 1 × 64 × 64, true or false) says where the shapes lie, and `middles` (count × 2, pixels from the
    left and from the top) where their middles are.
    """

    pixels: Tensor
    scenes: list[Scene]
    covers: Tensor
    middles: Tensor


def draw_set(style: str, count: int, seed: int) -> Drawings:
    """`count` training scenes drawn in one style, every scene about equally often."""
    rng = np.random.default_rng([seed, STYLES.index(style)])
    scenes = _choose_scenes(count, rng)
    pixels = np.empty((count, SIZE, SIZE, 3), np.uint8)
    masks = np.empty((count, 1, SIZE, SIZE), np.float32)
    middles = np.empty((count, 2), np.float32)
    for number, scene in enumerate(scenes):
        pose = choose_pose(scene.place, rng)
        pixels[number] = draw_at(scene, style, pose, int(rng.integers(2**31)))
        masks[number, 0] = filled_mask(scene.shape, pose)
        middles[number] = pose.x, pose.y
    return Drawings(
        torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(),
        scenes,
        cover(torch.from_numpy(masks)),
        torch.from_numpy(middles),
    )


def to_signal(pixels: Tensor) -> Tensor:
    """Pixels of 0 to 255 as the models see them: -1 to 1."""
    return pixels.float() / 127.5 - 1


def cover(masks: Tensor) -> Tensor:
    """Where shapes lie (count × 1 × 64 × 64, true or false), given how much of each pixel they fill; edges and all."""
    return nn.functional.max_pool2d(masks, 2 * _HALO + 1, stride=1, padding=_HALO) > 0


def cover_of_latents(covers: Tensor) -> Tensor:
    """Which latents tell of a shape (count × 1 × 16 × 16, true or false), given the pixels that it covers."""
    return nn.functional.max_pool2d(covers.float(), SIZE // LATENT_SIZE) > 0


@torch.no_grad()
def encode(autoencoder: AutoencoderKL, pixels: Tensor) -> Tensor:
    """Latents (count × 4 × 16 × 16) of pictures (count × 3 × 64 × 64, 0 to 255)."""
    return torch.cat([encode_signal(autoencoder, to_signal(part)) for part in torch.split(pixels, 128)])


@torch.no_grad()
def encode_signal(autoencoder: AutoencoderKL, signal: Tensor) -> Tensor:
    """Latents of pictures of -1 to 1."""
    latents: Tensor = autoencoder.encode(signal).latent_dist.mode()
    return latents


@dataclass(frozen=True, slots=True)
class Encoded:
    """What the autoencoder makes of drawings (count × 4 × 16 × 16), which latents tell of the shape, and the scenes."""

    latents: Tensor
    covers: Tensor
    scenes: list[Scene]


def encoded_set(autoencoder: AutoencoderKL, style: str, count: int, seed: int, work: Path) -> Encoded:
    """A set of drawings, encoded; kept in the work folder, as drawing and encoding take a while.

    What is kept there of another autoencoder or another set, or cannot be read, is made anew.
    """
    file, mark = work / f"latents-{style}.pt", _mark(autoencoder, count, seed)
    kept = _kept(file, mark)
    if kept is not None:
        return Encoded(*kept, _choose_scenes(count, np.random.default_rng([seed, STYLES.index(style)])))
    drawings = draw_set(style, count, seed)
    latents, covers = encode(autoencoder, drawings.pixels), cover_of_latents(drawings.covers)
    save_whole(file, (mark, latents, covers))
    return Encoded(latents, covers, drawings.scenes)


def _kept(file: Path, mark: str) -> tuple[Tensor, Tensor] | None:
    try:
        found, latents, covers = torch.load(file, weights_only=True)
    except (OSError, EOFError, RuntimeError, UnpicklingError, ValueError):  # none, half a file, or an older form
        return None
    return (latents, covers) if found == mark else None


def _mark(autoencoder: AutoencoderKL, count: int, seed: int) -> str:
    """What latents depend on. The layer behind the encoder is left out: its scale varies with the number of threads."""
    digest = sha256(f"{count} {seed}".encode())
    for name, weight in autoencoder.encoder.state_dict().items():
        digest.update(name.encode())
        digest.update(weight.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _choose_scenes(count: int, rng: np.random.Generator) -> list[Scene]:
    choices = training_scenes()
    rounds = -(-count // len(choices))
    order = np.concatenate([rng.permutation(len(choices)) for _ in range(rounds)])[:count]
    return [choices[int(index)] for index in order]
