"""Cheap pictures of unfinished latents: a linear map from latent channels to colours, learned from a finished batch.

A VAE's latents are close to linear in the picture's local mean colour. So the last latents and the pictures of one
batch give the map by least squares, and every later batch has previews for the price of a small matrix product.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from modelpool_worker.engines.protocol import Frames

_MOST_CELLS = 16_384
"""Latent cells that the fit looks at: enough for a map of a few dozen numbers."""

Cells = NDArray[np.float32]
"""(height, width, channels) of one latent picture."""


class LatentColours:
    """The map of one model; unknown until :meth:`learn` has seen a picture."""

    def __init__(self) -> None:
        self._map: NDArray[np.float32] | None = None

    @property
    def known(self) -> bool:
        """Whether previews can be made."""
        return self._map is not None

    def learn(self, latents: Cells, picture: Frames) -> None:
        """Fit latents (height, width, channels) to the finished ``picture`` (height, width, 3) they became."""
        height, width, channels = latents.shape
        cells = latents.reshape(-1, channels).astype(np.float32)
        colours = _shrunk(picture, height, width).reshape(-1, 3)
        stride = max(1, len(cells) // _MOST_CELLS)
        wanted, *_ = np.linalg.lstsq(_with_constant(cells[::stride]), colours[::stride], rcond=None)
        if np.isfinite(wanted).all():
            self._map = wanted.astype(np.float32)

    def preview(self, latents: Cells) -> Frames:
        """The picture that the latents promise, one pixel a cell, as (1, height, width, 3)."""
        if self._map is None:
            raise RuntimeError("no picture has been learned from yet")
        height, width, channels = latents.shape
        colours = _with_constant(latents.reshape(-1, channels).astype(np.float32)) @ self._map
        pixels: Frames = np.nan_to_num(colours).clip(0, 255).round().astype(np.uint8)
        return pixels.reshape(1, height, width, 3)


def _with_constant(cells: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.hstack([cells, np.ones((len(cells), 1), np.float32)])


def _shrunk(picture: Frames, height: int, width: int) -> NDArray[np.float32]:
    """Mean colours of the picture on a grid of height × width; the size is a multiple of the grid."""
    down, across = picture.shape[0] // height, picture.shape[1] // width
    cut = picture[: height * down, : width * across].astype(np.float32)
    means: NDArray[np.float32] = cut.reshape(height, down, width, across, 3).mean(axis=(1, 3))
    return means
