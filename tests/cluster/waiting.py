"""Waiting for something that another process does."""

import time
from collections.abc import Callable
from typing import TypeVar

from cluster.errors import ClusterError

T = TypeVar("T")

INTERVAL_SECONDS = 0.1


def wait_for(what: str, attempt: Callable[[], T | None], seconds: float, explain: Callable[[], str] = str) -> T:
    """Call `attempt` until it returns something true, and return that.

    Raises ClusterError after `seconds`, naming `what` and, behind it, what `explain` says.
    """
    deadline = time.monotonic() + seconds
    while True:
        value = attempt()
        if value:
            return value
        if time.monotonic() > deadline:
            raise ClusterError(f"{what}: not within {seconds:.0f} s. {explain()}".rstrip())
        time.sleep(INTERVAL_SECONDS)
