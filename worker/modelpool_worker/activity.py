"""Where a slot's time goes: generate, load, idle or failed; every moment counts once."""

from __future__ import annotations

from collections.abc import Callable

_BY_RANK = ("generate", "load", "failed")


class Activity:
    """Counts seconds by activity. Activities overlap; the highest ranked counts, ``idle`` when there is none."""

    def __init__(self, monotonic: Callable[[], float], count: Callable[[str, float], None]) -> None:
        self._monotonic = monotonic
        self._count = count
        self._on: set[str] = set()
        self._since = monotonic()

    def set(self, activity: str, on: bool) -> None:
        """An activity begins or ends."""
        self.settle()
        (self._on.add if on else self._on.discard)(activity)

    def settle(self) -> None:
        """Count up to now."""
        now = self._monotonic()
        current = next((name for name in _BY_RANK if name in self._on), "idle")
        self._count(current, now - self._since)
        self._since = now
