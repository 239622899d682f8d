"""The tally of tickets and counts: it has a life however it comes about, and no ticket is given twice."""

from collections.abc import Awaitable, Callable

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from modelpool.jobs import JobError
from modelpool.queue.check import QueueCheck
from modelpool.queue.port import Batch, HotModel
from modelpool.queue.redis import RedisQueue
from modelpool.queue.rules import RECORD_MS
from support.queues import POOL, Clock, Worker, new_job, new_result

CRASH = JobError(code="x", message="y")
TALLY = POOL.key("tally")


@pytest.fixture
def queue(client: Redis, clock: Clock) -> RedisQueue:
    return RedisQueue(POOL, client, now=clock)


async def finish(queue: RedisQueue, batch: Batch) -> None:
    await queue.finish(batch.lease, batch.jobs[0].id, new_result())


async def fail(queue: RedisQueue, batch: Batch) -> None:
    await queue.fail(batch.lease, batch.jobs[0].id, CRASH)


async def release(queue: RedisQueue, batch: Batch) -> None:
    await queue.release(batch.lease, [batch.jobs[0].id])


async def cancel(queue: RedisQueue, batch: Batch) -> None:
    await queue.cancel(batch.jobs[0].id)


async def claim(queue: RedisQueue, _: Batch) -> None:
    await Worker(queue, "sdxl").claim()


async def enqueue(queue: RedisQueue, _: Batch) -> None:
    await queue.enqueue(new_job())


@pytest.mark.parametrize("verb", [finish, fail, release, cancel, claim, enqueue])
async def test_a_tally_that_was_lost_has_a_life_when_it_is_made_anew(
    queue: RedisQueue, client: Redis, verb: Callable[[RedisQueue, Batch], Awaitable[None]]
) -> None:
    for model in ("flux", "sdxl"):
        await queue.enqueue(new_job(model))
    batch = await Worker(queue, "flux").claim()
    await client.delete(TALLY)
    await verb(queue, batch)
    assert await client.pttl(TALLY) >= RECORD_MS


@pytest.mark.parametrize("field", ["ticket", "free", "flux account", "flux work", "flux running"])
@pytest.mark.parametrize("value", ["x", "nan"])
async def test_what_is_no_number_in_the_tally_stops_nobody_and_the_check_mends_it(
    queue: RedisQueue, client: Redis, clock: Clock, field: str, value: str
) -> None:
    first, second, cold = new_job(subject="ann"), new_job(subject="bob"), new_job("cold", subject="cid")
    await queue.enqueue(first)
    await client.hset(TALLY, field, value)
    await queue.depths()
    await queue.enqueue(second)
    await client.hset(TALLY, field, value)
    await queue.enqueue(cold)
    both = Worker(queue, HotModel("flux", 1), HotModel("cold", 1))
    assert {(await both.claim()).jobs[0].id for _ in range(3)} == {first.id, second.id, cold.id}
    await client.hset(TALLY, field, value)
    checker = QueueCheck(POOL, client, now=clock)
    await checker.check(repair=True)
    assert (await checker.check()).findings == []
    depth = (await queue.depths())["flux"]
    assert (depth.queued, depth.running, depth.queued_work) == (0, 2, 0)


async def ticket_of(client: Redis, job: str) -> int:
    return int(str(await client.hget(POOL.key("job", job), "ticket")), 16)


async def test_the_ticket_of_an_enqueue_that_failed_half_way_is_not_given_again(
    queue: RedisQueue, client: Redis
) -> None:
    first, damaged, other = new_job(), new_job(), new_job(steps=9)
    await queue.enqueue(first)
    (batch,) = await client.keys(f"{POOL.key('batch')}:*")
    await client.set(batch, "damage: where a sorted set was")
    with pytest.raises(ResponseError):
        await queue.enqueue(damaged)
    await queue.enqueue(other)
    tickets = [await ticket_of(client, job.id) for job in (first, damaged, other)]
    assert len(set(tickets)) == 3
