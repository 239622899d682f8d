"""A queue on each kind of Redis and the one in plain Python, with a clock that the test moves."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from modelpool.queue.connection import connect
from modelpool.queue.fake import FakeQueue
from modelpool.queue.job import Refund
from modelpool.queue.port import Queue
from modelpool.queue.redis import RedisQueue
from support import RedisProcess
from support.queues import POOL, Clock, Worker

Refunds = Callable[[], Awaitable[list[Refund]]]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["redis6", "redis7"])
def redis_kind(request: pytest.FixtureRequest) -> RedisProcess:
    """A running server of each kind, empty."""
    server: RedisProcess = request.getfixturevalue(request.param)
    server.flush()
    return server


@pytest.fixture
async def client(redis_kind: RedisProcess) -> AsyncIterator[Redis]:
    client = await connect(redis_kind.url)
    yield client
    await client.aclose()


@pytest.fixture(params=["redis6", "redis7", "model"])
async def queue(request: pytest.FixtureRequest, clock: Clock) -> AsyncIterator[Queue]:
    """Whoever implements the port does the same."""
    if request.param == "model":
        yield FakeQueue(POOL, now=clock)
        return
    server: RedisProcess = request.getfixturevalue(request.param)
    server.flush()
    client = await connect(server.url)
    yield RedisQueue(POOL, client, now=clock)
    await client.aclose()


@pytest.fixture
def refunds(queue: Queue) -> Refunds:
    """What the queue wants to be given back so far."""

    async def read() -> list[Refund]:
        if isinstance(queue, FakeQueue):
            return queue.refunds
        assert isinstance(queue, RedisQueue)
        entries: Any = await queue.client.xrange(POOL.key("refunds"))
        return [Refund(entry["charge"], int(entry["price"]), int(entry["day"])) for _, entry in entries]

    return read


@pytest.fixture
def worker(queue: Queue) -> Worker:
    """A worker that holds `flux`."""
    return Worker(queue, "flux")
