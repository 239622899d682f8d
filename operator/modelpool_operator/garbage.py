"""Python's search for garbage that refers to itself, kept short.

An operator of many pools holds a million objects that stay: manifests, documents, tasks. Python looks through all of them
now and then, and nothing else goes on meanwhile: half a second with a hundred pools. What has stayed for a while is
therefore left out, and looked through only once in an hour.
"""

from __future__ import annotations

import gc

SETTLINGS_UNTIL_ALL = 60


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
