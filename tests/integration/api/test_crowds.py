"""Many people at once: what they share is made once, on the real queue, by a worker that computes nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from modelpool.queue.connection import connect
from modelpool.queue.redis import RedisQueue
from support import wait_until
from support.fake_worker import FakeWorker
from support.running_api import POOL, published
from support.visitors import Door, Visitor, door_settings, open_door

CROWD = 2_000
AT_ONCE = 8
"""More would only wait for each other in this one process, and on a busy machine for longer than one waits for Redis."""


@pytest.fixture
async def door(redis_url_any: str, tmp_path: Path) -> AsyncIterator[Door]:
    async with published(redis_url_any), open_door(door_settings(redis_url_any, tmp_path, "profile: public")) as door:
        yield door


@pytest.fixture
async def worker(redis_url_any: str, door: Door) -> AsyncIterator[FakeWorker]:
    client = await connect(redis_url_any)
    yield FakeWorker(RedisQueue(POOL, client), door.context.store, ("shapes",), patience=100)
    await client.aclose()


async def all_ask(door: Door, **fields: object) -> list[httpx.Response]:
    """Everybody asks the same, each from an address of their own."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> httpx.Response:
        async with turn:
            return await Visitor(door, f"10.0.{number >> 8}.{number & 255}").ask(prompt="a cat on the moon", **fields)

    answers = await asyncio.gather(*(one(number) for number in range(CROWD)))
    assert not [answer.text for answer in answers if answer.status_code not in (200, 202)][:3]
    return answers


async def results(worker: FakeWorker, answers: list[httpx.Response]) -> Counter[str]:
    """How often each file was given, once all jobs have ended."""
    jobs = [str(answer.json()["id"]) for answer in answers]

    async def all_ended() -> bool:
        return all([(await worker.queue.get(job)).state.is_final for job in jobs[-20:]])

    await wait_until(all_ended)
    records = [await worker.queue.get(job) for job in jobs]
    return Counter(record.result.key for record in records if record.result is not None)


@pytest.mark.slow
@pytest.mark.timeout(300)  # two thousand requests take their time where others work too
async def test_a_stampede_of_identical_requests_runs_one_generation(door: Door, worker: FakeWorker) -> None:
    async with worker.work():
        files = await results(worker, await all_ask(door, seed=7))
    assert worker.finished == 1
    assert list(files.values()) == [CROWD]


@pytest.mark.slow
@pytest.mark.timeout(300)  # two thousand requests take their time where others work too
async def test_a_crowd_with_the_same_words_and_no_seed_runs_eight(door: Door, worker: FakeWorker) -> None:
    async with worker.work():
        files = await results(worker, await all_ask(door))
    assert worker.finished == 8
    assert len(files) == 8
    assert sum(files.values()) == CROWD


async def test_one_person_who_asks_again_gets_a_new_picture_and_a_random_seed_opts_out(
    redis_url_any: str, tmp_path: Path
) -> None:
    async with published(redis_url_any), open_door(door_settings(redis_url_any, tmp_path, "profile: local")) as door:
        queue = door.context.pools.all()[0].queue

        async def seed(visitor: Visitor, **fields: object) -> int:
            return (await queue.get((await visitor.ask(prompt="a cat", **fields)).json()["id"])).request.seed

        visitor = Visitor(door)
        mine = [await seed(visitor) for _ in range(9)]
        others = {await seed(Visitor(door, f"198.51.100.{number}")) for number in range(40)}
        random = [await seed(visitor, seed="random") for _ in range(5)]
    assert len(set(mine)) == 8
    assert mine[8] == mine[0]
    assert others == set(mine)
    assert not set(random) & set(mine)
