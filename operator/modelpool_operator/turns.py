"""Who may make a round now: many pools in one process take turns, as many rounds at once would only delay one another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

LONGEST_WAIT_SECONDS = 1.0


class Turns:
    """``at_once`` at a time, first come, first served."""

    def __init__(self, at_once: int = 1, longest_wait: float = LONGEST_WAIT_SECONDS) -> None:
        self._free = asyncio.Semaphore(at_once)
        self._longest_wait = longest_wait

    @asynccontextmanager
    async def take(self) -> AsyncIterator[None]:
        """Wait for a turn, but not for long: when Redis is away all rounds take their time, and all want to say so."""
        try:
            async with asyncio.timeout(self._longest_wait):
                await self._free.acquire()
        except TimeoutError:
            yield
            return
        try:
            yield
        finally:
            self._free.release()
