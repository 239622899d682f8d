"""No script keeps everybody waiting for long: what there is too much of is done in several."""

import asyncio

import pytest
from redis.asyncio import Redis

from modelpool.jobs import JobError, JobState
from modelpool.queue.port import FailureKind, HotModel
from modelpool.queue.redis import RedisQueue
from modelpool.queue.running import ScriptRunner
from modelpool.queue.scripts import CHUNK
from support.queues import POOL, Clock, Worker, new_job, new_result

LEADERS, FOLLOWERS = 4, 100
CRASH = JobError(code="x", message="y")


class Crowds:
    """Some leaders in one batch, with many followers each."""

    def __init__(self, client: Redis, clock: Clock) -> None:
        self.clock = clock
        self.queue = RedisQueue(POOL, client, now=clock)
        self.run = ScriptRunner(POOL, client, clock)
        self.worker = Worker(self.queue, HotModel("flux", LEADERS))
        self.leaders = [new_job(subject="ann") for _ in range(LEADERS)]
        self.followers = [new_job(digest=leader.digest) for leader in self.leaders for _ in range(FOLLOWERS)]

    async def gather(self) -> None:
        await asyncio.gather(*map(self.queue.enqueue, self.leaders))
        await asyncio.gather(*map(self.queue.enqueue, self.followers))

    async def ended(self) -> int:
        records = await asyncio.gather(*(self.queue.get(job.id) for job in self.followers))
        return sum(record.state in {JobState.SUCCEEDED, JobState.FAILED} for record in records)


@pytest.fixture
async def crowds(client: Redis, clock: Clock) -> Crowds:
    crowds = Crowds(client, clock)
    await crowds.gather()
    return crowds


async def all_end_a_chunk_at_a_time(crowds: Crowds) -> None:
    ended, more = await crowds.ended(), 1
    assert ended <= CHUNK
    while more:
        _, more = await crowds.run("reap")
        before, ended = ended, await crowds.ended()
        assert 0 < ended - before <= CHUNK or not more
    assert ended == len(crowds.followers)


async def test_followers_of_a_batch_that_succeeds(crowds: Crowds) -> None:
    batch = await crowds.worker.claim()
    await crowds.queue.finish_all(batch.lease, {job.id: new_result() for job in batch.jobs})
    await all_end_a_chunk_at_a_time(crowds)


async def test_followers_of_jobs_that_fail(crowds: Crowds) -> None:
    batch = await crowds.worker.claim()
    await crowds.queue.fail(batch.lease, batch.jobs[0].id, CRASH, FailureKind.FINAL)
    for job in batch.jobs[1:]:
        await crowds.queue.fail(batch.lease, job.id, CRASH, FailureKind.FINAL)
    assert await crowds.ended() == LEADERS * CHUNK
    await crowds.queue.reap()
    assert await crowds.ended() == len(crowds.followers)


async def test_a_claim_leaves_the_rest_to_the_reaper(crowds: Crowds) -> None:
    batch = await crowds.worker.claim()
    await crowds.queue.finish_all(batch.lease, {job.id: new_result() for job in batch.jobs})
    await crowds.queue.enqueue(job := new_job())
    before = await crowds.ended()
    assert await crowds.run("claim", "lease", "slot", 30_000, 0, "flux", 1, "") == "reap"
    assert await crowds.ended() - before <= CHUNK
    assert await crowds.worker.ids() == [job.id]
    assert await crowds.ended() == len(crowds.followers)
