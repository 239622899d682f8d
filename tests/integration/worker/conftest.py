"""A worker's surroundings on a real Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from modelpool.board import Board
from modelpool.queue.connection import connect
from modelpool.queue.redis import RedisQueue
from modelpool.store.memory import MemoryStore
from modelpool_worker.engines.simulated import SimulatedEngine
from support.worker import POOL, Pool


@pytest.fixture
async def client(redis_url_any: str) -> AsyncIterator[Redis]:
    """A connection to an empty Redis."""
    made = await connect(redis_url_any)
    yield made
    await made.aclose()


@pytest.fixture
async def pool(client: Redis) -> Pool:
    """An empty pool with an operator's epoch."""
    board = Board(POOL, client)
    return Pool(RedisQueue(POOL, client), board, MemoryStore(), await board.take_epoch())


@pytest.fixture
def engine() -> SimulatedEngine:
    """An engine that takes no time."""
    return SimulatedEngine()
