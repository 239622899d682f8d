"""The callback of a diffusers pipeline: what a worker learns of every step, and how it stops one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from modelpool_worker.engines.previews import LatentColours
from modelpool_worker.engines.protocol import Frames, Step, Stopped


class Tracker:
    """The callback of one call: counts steps, offers previews, stops. ``members`` are indices into the batch."""

    def __init__(
        self,
        members: Sequence[int],
        colours: LatentColours,
        on_step: Callable[[Step], None],
        should_stop: Callable[[], bool],
    ) -> None:
        self._members = members
        self._colours = colours
        self._on_step = on_step
        self._should_stop = should_stop
        self._latents: torch.Tensor | None = None

    def __call__(self, pipeline: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        self._latents = tensors.get("latents")
        offers = self._colours.known and self._latents is not None and self._latents.ndim in (4, 5)
        self._on_step(Step(step + 1, pipeline.num_timesteps, self._preview if offers else None))
        # Stopping by exception works with every pipeline; `_interrupt` is ignored by some and decodes what nobody wants.
        if self._should_stop():
            raise Stopped
        return tensors

    def last_latents(self, position: int) -> NDArray[np.float32] | None:
        """The latest latents of one member as (height, width, channels); of a video, its middle frame."""
        if self._latents is None or self._latents.ndim not in (4, 5):
            return None
        latents = self._latents[position]
        if latents.ndim == 4:
            latents = latents[len(latents) // 2]
        cells: NDArray[np.float32] = latents.permute(1, 2, 0).float().cpu().numpy()
        return cells

    def _preview(self, member: int) -> Frames:
        latents = self.last_latents(self._members.index(member))
        if latents is None:
            raise RuntimeError("a preview was asked for without latents")
        return self._colours.preview(latents)
