"""A queue on each kind of Redis, with a clock that the test moves."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from modelpool.queue.connection import connect
from modelpool.queue.redis import RedisQueue
from support import RedisProcess
from support.queues import POOL, Clock, Worker


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Redis]:
    client = await connect(redis_url)
    yield client
    await client.aclose()


@pytest.fixture(params=["redis6", "redis7"])
def redis_kind(request: pytest.FixtureRequest) -> RedisProcess:
    """A running server of each kind, for tests that start another one of its program."""
    server: RedisProcess = request.getfixturevalue(request.param)
    return server


@pytest.fixture
def queue(client: Redis, clock: Clock) -> RedisQueue:
    return RedisQueue(POOL, client, now=clock)


@pytest.fixture
def worker(queue: RedisQueue) -> Worker:
    """A worker that holds `flux`."""
    return Worker(queue, "flux")
