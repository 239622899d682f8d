"""Python's search for garbage that refers to itself, kept short.

An operator of many pools holds a million objects that stay: manifests, documents, tasks. Python looks through all of them
now and then, and nothing else goes on meanwhile, for half a second with two hundred pools. What has stayed for some
seconds is therefore left out, and looked through only once in an hour.
"""

from __future__ import annotations

import asyncio
import gc

SETTLE_SECONDS = 5.0
SETTLINGS_UNTIL_ALL = 720
RARELY = 1_000
"""Searches of younger objects before Python looks through the oldest by itself, which settling does sooner."""


class LongLived:
    """Told every now and then to leave out what is there."""

    def __init__(self, until_all: int = SETTLINGS_UNTIL_ALL) -> None:
        self._until_all = until_all
        self._count = 0

    def settle(self) -> None:
        """Collect what has become garbage since the last time, and leave the rest out from now on.

        Every ``until_all`` times what was left out is looked through as well: some of it has become garbage.
        """
        self._count += 1
        if self._count % self._until_all == 0:
            gc.unfreeze()
        gc.collect()
        gc.freeze()


async def keep_searches_short() -> None:
    """For ever, in a process of its own."""
    youngest, younger, _ = gc.get_threshold()
    gc.set_threshold(youngest, younger, RARELY)
    long_lived = LongLived()
    while True:
        long_lived.settle()
        await asyncio.sleep(SETTLE_SECONDS)
