"""What a source of demand answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

LAST_MINUTES = 5


@dataclass(frozen=True, slots=True)
class Demand:
    """Rates per model in jobs per second; a model that is left out was not asked for."""

    recent: Mapping[str, float] = field(default_factory=dict)
    """Weighted towards the last minutes."""
    long_term: Mapping[str, float] = field(default_factory=dict)
    """Over as long a time as the source remembers, a week at most."""
    asked_at: Mapping[str, int] = field(default_factory=dict)
    """Unix milliseconds: the end of the last minute in which somebody asked."""
    last_jobs: Mapping[str, float] = field(default_factory=dict)
    """Jobs asked for in the last ``LAST_MINUTES`` minutes."""
    source: str = ""
    """Whose figures these are, in a person's words; empty when nobody has any."""
    stands_in_for: str | None = None
    """Why another source, which should have been asked, has no figures; None when this is the one."""


class DemandSource(Protocol):
    """Where the figures come from."""

    async def read(self, now: int, window_seconds: int) -> Demand:
        """Figures as of ``now`` (Unix milliseconds), with recent rates over ``window_seconds``.

        :raises modelpool.errors.Unavailable: the source is away.
        """
        ...
