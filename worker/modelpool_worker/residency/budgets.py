"""What fits a slot. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Needs:
    """Bytes of one model: measured where that is known, else from the spec."""

    weights: int
    activations: int


@dataclass(frozen=True, slots=True)
class Budget:
    """Bytes of one slot: VRAM for hot models, host RAM for warm ones."""

    vram: int
    host_memory: int

    def fits_hot(self, models: Iterable[Needs]) -> bool:
        """Σ weights + the largest activations: only one batch runs at a time."""
        return hot_bytes(models) <= self.vram

    def fits_warm(self, models: Iterable[Needs]) -> bool:
        """Σ weights: a warm model does not compute."""
        return sum(model.weights for model in models) <= self.host_memory


def hot_bytes(models: Iterable[Needs]) -> int:
    """Device memory that these models need together."""
    listed = list(models)
    return sum(model.weights for model in listed) + max((model.activations for model in listed), default=0)
