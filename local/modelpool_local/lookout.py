"""What the supervisor sees of its pool in Redis."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from redis.asyncio import Redis

from modelpool.board import Board
from modelpool.documents import Catalog
from modelpool.errors import InvalidInput, ModelpoolError, QueueUnavailable
from modelpool.queue.connection import connect
from modelpool.queue.redis import RedisQueue
from modelpool.resources.pool import PoolRef
from modelpool.slots import ObservedSlot
from modelpool_local.exits import CommandFailed, Exit
from modelpool_local.table import View

RETRY_SECONDS = 0.05


class Lookout:
    """Reads heartbeats, depths and status of one pool."""

    def __init__(self, catalog: Catalog, client: Redis) -> None:
        pool = PoolRef.parse(catalog.pool)
        self._catalog = catalog
        self._client = client
        self._board = Board(pool, client)
        self._queue = RedisQueue(pool, client)
        self._epoch = -1

    async def look(self, slots: Mapping[str, ObservedSlot]) -> View:
        """The pool as it is now. While Redis is away: what the supervisor knows itself."""
        try:
            heartbeats = await self._board.heartbeats([slot.slot for slot in self._catalog.slots])
            depths = await self._queue.depths()
            status = await self._board.status()
        except ModelpoolError:
            return View(self._catalog, now_ms(), slots, redis_away=True)
        if status is not None and status.epoch <= self._epoch:
            status = None
        return View(self._catalog, now_ms(), slots, heartbeats, depths, status)

    async def look_ahead(self) -> None:
        """From now on, take no notice of what operators before the next one have said."""
        with suppress(QueueUnavailable):  # old news are told again then, and that is all
            self._epoch = await self._board.epoch()

    async def take_over(self) -> None:
        """Nobody keeps the pools that this Redis of ours served before: what they offered is offered no more."""
        await self._board.delist_others()

    async def close(self) -> None:
        """Hang up."""
        await self._client.aclose()


async def connect_when_there(url: str, seconds: float | None, give_up: Callable[[], None]) -> Redis:
    """A connection to Redis as soon as it answers; ``give_up`` may raise between attempts.

    :raises CommandFailed: it is no Redis of use, or nobody answers for ``seconds``.
    """
    deadline = None if seconds is None else time.monotonic() + seconds
    while True:
        try:
            return await connect(url)
        except InvalidInput as error:
            raise CommandFailed(Exit.START_FAILED, error.message) from None
        except QueueUnavailable as error:
            if deadline is not None and time.monotonic() >= deadline:
                where = url.rpartition("@")[2]  # not the password
                raise CommandFailed(
                    Exit.START_FAILED, f"no Redis answers at {where}; start it, or leave --redis-url away ({error})"
                ) from None
        give_up()
        await asyncio.sleep(RETRY_SECONDS)


def now_ms() -> int:
    """Unix time in milliseconds."""
    return time.time_ns() // 1_000_000
