"""A Redis that is there but does not answer: it hangs, or its machine does."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from redis.asyncio import Redis

from modelpool.errors import QueueUnavailable
from modelpool.queue.connection import connect, unavailable
from modelpool.queue.patience import ANSWER_SECONDS
from modelpool.queue.redis import RedisQueue
from support import RedisProcess, wait_until
from support.queues import POOL, Worker, new_job

IN_TIME = ANSWER_SECONDS + 1.5
"""With what a busy machine adds."""


@pytest.fixture
def server(redis_kind: RedisProcess, tmp_path: Path) -> Iterator[RedisProcess]:
    with RedisProcess(redis_kind.program, tmp_path) as server:
        yield server


@pytest.fixture
async def client(server: RedisProcess) -> AsyncIterator[Redis]:
    client = await connect(server.url)
    yield client
    await client.aclose()


async def refused_after(ask: Callable[[], Awaitable[Any]], delay: float = 0) -> float:
    await asyncio.sleep(delay)
    asked = monotonic()
    with pytest.raises(QueueUnavailable, match="cannot be reached"):
        await ask()
    return monotonic() - asked


async def test_every_caller_is_refused_in_time_and_served_once_it_answers_again(
    server: RedisProcess, client: Redis
) -> None:
    queue = RedisQueue(POOL, client)
    await queue.enqueue(held := new_job())
    batch = await Worker(queue, "flux").claim()
    jobs = [new_job() for _ in range(6)]

    async def look() -> None:
        with unavailable():
            await client.hgetall("anything")

    async def look_at_several() -> None:
        with unavailable():
            pipe = client.pipeline(transaction=False)
            _ = pipe.get("one"), pipe.get("other")
            await pipe.execute()

    with server.hanging():
        waits = await asyncio.gather(
            *(refused_after(lambda job=job: queue.enqueue(job), 0.2 * n) for n, job in enumerate(jobs)),  # type: ignore[misc]
            refused_after(lambda: queue.renew(batch.lease, [held.id])),
            refused_after(look),
            refused_after(look_at_several),
            refused_after(lambda: connect(server.url)),
        )
    assert max(waits) < IN_TIME, waits
    assert (await queue.renew(batch.lease, [held.id])).held == {held.id}
    for job in jobs:  # those that arrived nevertheless are there once
        await queue.enqueue(job)
    assert (await queue.depths())["flux"].queued == len(jobs)


async def test_a_crowd_that_waits_behind_silence_is_refused_in_time_too(server: RedisProcess, client: Redis) -> None:
    queue = RedisQueue(POOL, client)
    with server.hanging():
        waits = await asyncio.gather(*(refused_after(lambda: queue.get("nobody"), n / 400) for n in range(400)))
    assert max(waits) < IN_TIME
    assert await queue.depths() == {}


async def test_a_short_silence_is_ridden_out(server: RedisProcess, client: Redis) -> None:
    queue = RedisQueue(POOL, client)
    with server.hanging():
        enqueued = asyncio.create_task(queue.enqueue(new_job()))
        await asyncio.sleep(1)
    await enqueued


async def test_a_subscription_outlasts_silence(server: RedisProcess, client: Redis) -> None:
    queue = RedisQueue(POOL, client)
    heard = asyncio.Event()
    listening = asyncio.Event()

    async def listen() -> None:
        async for _ in queue.events(on_connect=listening.set):
            heard.set()

    listener = asyncio.create_task(listen())
    try:
        await listening.wait()
        with server.hanging():
            await refused_after(queue.depths)

        async def a_new_job_is_heard_of() -> bool:
            await queue.enqueue(new_job())
            return heard.is_set()

        await wait_until(a_new_job_is_heard_of)
    finally:
        listener.cancel()
        await asyncio.gather(listener, return_exceptions=True)
