"""Says every two seconds, and whenever something changes, that the slot is alive and what it holds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from modelpool.board import Board
from modelpool.documents import HEARTBEAT_INTERVAL_SECONDS, Heartbeat
from modelpool.errors import QueueUnavailable
from modelpool_worker.clock import Clock

log = logging.getLogger(__name__)

LEAST_SECONDS = 0.05
"""Changes that come faster share one heartbeat."""


class Pulse:
    """Sends heartbeats. Call :meth:`changed` whenever the next one would say something new."""

    def __init__(self, board: Board, snapshot: Callable[[], Heartbeat], clock: Clock) -> None:
        self._board = board
        self._snapshot = snapshot
        self._clock = clock
        self._news = asyncio.Event()

    def changed(self) -> None:
        """Beat soon."""
        self._news.set()

    async def beat(self) -> None:
        """One heartbeat now; without Redis it is skipped."""
        try:
            await self._board.beat(self._snapshot())
        except QueueUnavailable as error:
            log.warning("heartbeat not delivered", extra={"reason": error.message})

    async def run(self) -> None:
        """Beat for ever."""
        while True:
            self._news.clear()
            await self.beat()
            await self._clock.sleep(LEAST_SECONDS)
            try:
                async with asyncio.timeout(HEARTBEAT_INTERVAL_SECONDS - LEAST_SECONDS):
                    await self._news.wait()
            except TimeoutError:
                continue
