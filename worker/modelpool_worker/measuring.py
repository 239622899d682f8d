"""Running figures of what a worker measures: means with deviations over the latest values. Pure."""

from __future__ import annotations

import statistics
from collections import deque

from modelpool.documents import Stat

_LATEST = 32


class Running:
    """Mean and standard deviation of the latest values, so that old conditions are forgotten."""

    def __init__(self, latest: int = _LATEST) -> None:
        self._values: deque[float] = deque(maxlen=latest)
        self.count = 0

    def add(self, value: float) -> None:
        """One more measurement."""
        self._values.append(value)
        self.count += 1

    @property
    def mean(self) -> float | None:
        """None before the first value."""
        return statistics.fmean(self._values) if self._values else None

    def stat(self) -> Stat | None:
        """As documents carry it; None before the first value."""
        if not self._values:
            return None
        return Stat(mean=statistics.fmean(self._values), deviation=statistics.pstdev(self._values), count=self.count)
