"""Calling Redis or the store again when they were away. A worker outlives both."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from modelpool.errors import Unavailable
from modelpool_worker.clock import Clock

log = logging.getLogger(__name__)

T = TypeVar("T")

FIRST_DELAY = 0.1
LONGEST_DELAY = 5.0


def delay_after(failures: int) -> float:
    """Seconds to wait after so many failures in a row: doubling, with a ceiling."""
    return min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(failures - 1, 16))


async def patiently(call: Callable[[], Awaitable[T]], clock: Clock, give_up_after: float) -> T:
    """The outcome of ``call``, repeated while something it depends on is away.

    :raises Unavailable: it stayed away for ``give_up_after`` seconds.
    """
    until = clock.monotonic() + give_up_after
    failures = 0
    while True:
        try:
            return await call()
        except Unavailable as error:
            failures += 1
            if clock.monotonic() >= until:
                raise
            log.warning("waiting for a dependency", extra={"code": error.code, "failures": failures})
            await clock.sleep(delay_after(failures))
