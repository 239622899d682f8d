"""Reads the slot's assignment and the catalog: at the start, at every ring of the slot's bell, and every two seconds."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing

from modelpool.board import Board
from modelpool.documents import HEARTBEAT_INTERVAL_SECONDS, Assignment, Catalog
from modelpool.errors import QueueUnavailable
from modelpool_worker.clock import Clock
from modelpool_worker.residency.keeper import Keeper

log = logging.getLogger(__name__)

CATALOG_SECONDS = 10.0
"""A catalog may be large: it is read again when the bell has rung or the assignment is new, or after this long."""


class Follower:
    """Tells the keeper what the slot shall hold. A missing document changes nothing: what is held is kept."""

    def __init__(self, board: Board, slot: str, keeper: Keeper, clock: Clock) -> None:
        self._board = board
        self._slot = slot
        self._keeper = keeper
        self._clock = clock
        self._ring = asyncio.Event()
        self._seen: Assignment | None = None
        self._catalog: Catalog | None = None
        self._catalog_at = float("-inf")

    async def listen(self) -> None:
        """Hear the bell for ever."""
        async with aclosing(self._board.bell(self._slot)) as rings:
            async for _ in rings:
                self._ring.set()

    async def run(self) -> None:
        """Follow for ever."""
        while True:
            rung = self._ring.is_set()
            self._ring.clear()
            try:
                await self._look(rung=rung)
            except QueueUnavailable as error:
                log.warning("assignment not read", extra={"reason": error.message})
            try:
                async with asyncio.timeout(HEARTBEAT_INTERVAL_SECONDS):
                    await self._ring.wait()
            except TimeoutError:
                continue

    async def _look(self, *, rung: bool) -> None:
        assignment = await self._board.assignment(self._slot)
        if assignment is None:
            return
        if rung or assignment != self._seen or self._clock.monotonic() - self._catalog_at > CATALOG_SECONDS:
            self._catalog = await self._board.catalog() or self._catalog
            self._catalog_at = self._clock.monotonic()
        self._seen = assignment
        if self._catalog is not None:
            self._keeper.want(assignment, self._catalog, self._catalog.stays(self._slot))
