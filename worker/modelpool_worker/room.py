"""How many jobs fit the device's memory, learned from batches that did not. Pure.

What a batch needs beside the weights grows with the pixels of its jobs, so a size that did not fit tells about sizes at
least as large and nothing about smaller ones. Memory that was short once may be there again: a limit that many batches
have filled is doubled, and halved again if that was too much.
"""

from __future__ import annotations

from dataclasses import dataclass

PROBE_AFTER = 256
"""Batches that have filled a limit before twice as much is tried: at worst, one pass in so many is made in vain."""


@dataclass(slots=True)
class _Limit:
    most: int
    filled: int = 0


class Room:
    """Limits by pixels of one job (width × height × frames, twice with guidance). More pixels have the smaller limit, so
    there are few."""

    def __init__(self) -> None:
        self._limits: dict[int, _Limit] = {}

    def __len__(self) -> int:
        return len(self._limits)

    def most(self, pixels: int) -> int | None:
        """The most jobs of so many pixels in one pass; None while nothing is known against any number."""
        return min((limit.most for least, limit in self._limits.items() if least <= pixels), default=None)

    def ran_out(self, pixels: int, size: int) -> None:
        """A batch of ``size`` did not fit; half of it is the limit for jobs of at least so many pixels."""
        self._limits[pixels] = _Limit(max(1, min(size // 2, self.most(pixels) or size)))
        self._drop_idle()

    def fitted(self, pixels: int, size: int, ceiling: int) -> None:
        """A batch of ``size`` did fit. A limit that reaches ``ceiling`` is forgotten."""
        for least, limit in list(self._limits.items()):
            if least > pixels or size < limit.most:
                continue
            limit.filled += 1
            if limit.filled >= PROBE_AFTER:
                limit.most, limit.filled = 2 * limit.most, 0
                if limit.most >= ceiling:
                    del self._limits[least]
        self._drop_idle()

    def _drop_idle(self) -> None:
        """Forget limits that fewer pixels have, too."""
        lowest: int | None = None
        for least in sorted(self._limits):
            if lowest is not None and self._limits[least].most >= lowest:
                del self._limits[least]
            else:
                lowest = self._limits[least].most
