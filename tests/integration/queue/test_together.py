"""Jobs that come at one time are let in by one script, each as if it had come alone."""

import asyncio
import random
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from modelpool.jobs import Lane, NewJob
from modelpool.queue.check import QueueCheck
from modelpool.queue.model import QueueModel
from modelpool.queue.port import HotModel
from modelpool.queue.redis import RedisQueue
from support.queues import POOL, Clock, new_job

HOT = [HotModel("flux", 4), HotModel("sdxl", 2)]


async def evaluations(client: Redis) -> int:
    stats = await client.info("commandstats")
    return int(stats.get("cmdstat_evalsha", {"calls": 0})["calls"])


def crowd(size: int, chance: random.Random) -> list[NewJob]:
    """Of several users, lanes and models; some want the same."""
    return [one_of_many(chance) for _ in range(size)]


def one_of_many(chance: random.Random) -> NewJob:
    alike = chance.random() < 0.6
    lane = chance.choice(list(Lane))
    same: dict[str, Any] = {"digest": f"{chance.randrange(3):032x}" * 2} if alike else {}
    return new_job(
        "flux" if alike else chance.choice(["flux", "sdxl"]),
        lane,
        subject=f"{lane.value} {chance.randrange(4)}",
        steps=chance.choice([4, 8]),
        work=chance.choice([0.3, 1.0, 2.7]),
        use_cache=chance.random() < 0.9,
        deadline_ms=chance.choice([60_000, 3_600_000]),
        **same,
    )


async def test_many_share_a_script(client: Redis, clock: Clock) -> None:
    queue = RedisQueue(POOL, client, now=clock)
    await queue.enqueue(new_job())
    before = await evaluations(client)
    await asyncio.gather(*(queue.enqueue(new_job()) for _ in range(160)))
    assert await evaluations(client) - before <= 160 / 4


@pytest.mark.parametrize("seed", range(5))
async def test_each_is_let_in_as_if_it_had_come_alone(client: Redis, clock: Clock, seed: int) -> None:
    queue, model = RedisQueue(POOL, client, now=clock), QueueModel(str(POOL))
    jobs = crowd(60, random.Random(seed))
    answers = dict(zip(jobs, await asyncio.gather(*map(queue.enqueue, jobs)), strict=True))
    tickets = {job: str(await client.hget(POOL.key("job", job.id), "ticket")) for job in jobs}
    for job in sorted(jobs, key=tickets.__getitem__):  # two pipelines are under way at once
        assert answers[job] == model.enqueue(job, clock())
    for job in jobs:
        assert await queue.get(job.id) == model.get(job.id)
        assert await queue.position(job.id) == model.position(job.id)
    assert await queue.depths() == model.depths()
    assert await queue.demand(1) == model.demand(1, clock())
    assert (await QueueCheck(POOL, client, now=clock).check()).findings == []
    for key in await client.keys():
        assert await client.pttl(key) > 0
    number = 0
    while batch := await queue.claim("w", "slot", HOT, lease=f"lease {number}"):
        assert batch == model.claim(f"lease {number}", "slot", HOT, clock())
        number += 1
    assert model.claim("lease", "slot", HOT, clock()) is None


async def test_what_goes_wrong_with_one_is_no_concern_of_the_others(client: Redis, clock: Clock) -> None:
    queue = RedisQueue(POOL, client, now=clock)
    await client.lpush(POOL.key("debt", "free", "ann"), "damage")
    jobs = [new_job(), new_job(subject="ann"), new_job()]
    first, second, third = await asyncio.gather(*map(queue.enqueue, jobs), return_exceptions=True)
    assert isinstance(second, ResponseError)
    assert not isinstance(first, BaseException)
    assert not isinstance(third, BaseException)
    assert (await queue.depths())["flux"].queued == 2
