"""When to claim the next batch. Pure.

A worker claims while its engine is idle, and once more shortly before the running batch ends, so that the engine never
waits for Redis. Not earlier: a job claimed long ahead waits behind this batch though another slot may be free, and a
paid job that comes meanwhile could not go first.
"""

from __future__ import annotations

AHEAD_SECONDS = 0.15
"""How long before the expected end of a batch the next one is claimed: some round trips and an input image."""


def near_end(step: int, steps: int, elapsed: float) -> bool:
    """Whether a batch that has done ``step`` of ``steps`` in ``elapsed`` seconds is about to end."""
    if step >= steps:
        return True
    return step > 0 and elapsed / step * (steps - step) <= AHEAD_SECONDS
