"""The wall clock of a real Redis server is set forward and back while jobs wait and run."""

import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from modelpool.jobs import JobError, JobState
from modelpool.queue.check import QueueCheck
from modelpool.queue.connection import connect
from modelpool.queue.port import Batch, HotModel
from modelpool.queue.redis import RedisQueue
from support import RedisProcess, bundled_redis, debian_redis
from support.queues import POOL, Worker, new_job, new_result, refunded
from support.stepped_clock import SteppedClock

HOUR = 3600.0
CRASH = JobError(code="engine_error", message="The kernel crashed.")


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> SteppedClock:
    return SteppedClock(tmp_path_factory.mktemp("clock"))


@pytest.fixture(scope="module", params=["redis6", "redis7"])
def server(
    request: pytest.FixtureRequest, clock: SteppedClock, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RedisProcess]:
    program: Path = bundled_redis() if request.param == "redis6" else debian_redis()
    with RedisProcess(program, tmp_path_factory.mktemp("server"), environment=clock.environment) as server:
        yield server


@pytest.fixture
async def client(server: RedisProcess, clock: SteppedClock) -> AsyncIterator[Redis]:
    clock.set(0)
    server.flush()
    client = await connect(server.url)
    yield client
    await client.aclose()


@pytest.fixture
def queue(client: Redis) -> RedisQueue:
    return RedisQueue(POOL, client)


async def test_the_server_goes_by_the_clock_that_the_test_sets(client: Redis, clock: SteppedClock) -> None:
    before = int((await client.time())[0])
    for step in (HOUR, -HOUR):
        clock.set(step)
        assert abs(int((await client.time())[0]) - before - step) < 60


async def test_a_step_forward_ends_leases_and_deadlines_at_once(
    queue: RedisQueue, client: Redis, clock: SteppedClock
) -> None:
    long, short = new_job(deadline_ms=4 * 3_600_000), new_job(model="sdxl", deadline_ms=1_800_000)
    for job in (long, short):
        await queue.enqueue(job)
    batch = await Worker(queue, "flux").claim()
    clock.set(HOUR)
    assert await queue.reap() == 2
    again, expired = await queue.get(long.id), await queue.get(short.id)
    assert (again.state, again.attempts, again.solo) == (JobState.QUEUED, 1, True)
    assert expired.state is JobState.EXPIRED
    assert await refunded(client) == {short.charge_id: 1}
    assert (await queue.renew(batch.lease, [long.id])).lost == {long.id}
    assert not await queue.finish(batch.lease, long.id, new_result())
    batch = await Worker(queue, "flux").claim()
    assert await queue.finish(batch.lease, long.id, new_result())


async def test_a_step_back_is_not_noticed_by_a_living_worker(queue: RedisQueue, clock: SteppedClock) -> None:
    await queue.enqueue(job := new_job())
    batch = await Worker(queue, "flux").claim()
    clock.set(-HOUR)
    assert await queue.reap() == 0
    assert (await queue.renew(batch.lease, [job.id])).held == {job.id}
    clock.set(-HOUR + 31)
    assert await queue.reap() == 1, "the renewed lease is of the new time"


async def test_after_a_step_back_a_dead_workers_jobs_wait_until_the_old_time_comes_again_or_a_repair(
    queue: RedisQueue, client: Redis, clock: SteppedClock
) -> None:
    await queue.enqueue(job := new_job(deadline_ms=8 * 3_600_000))
    await Worker(queue, "flux").claim()
    clock.set(-HOUR)
    assert await queue.reap() == 0
    clock.set(31)
    assert await queue.reap() == 1
    await Worker(queue, "flux").claim()
    clock.set(-HOUR)
    found = (await QueueCheck(POOL, client).check(repair=True)).findings
    assert [finding.problem for finding in found] == ["endless lease"]
    clock.set(-HOUR + 31)
    assert await queue.reap() == 1
    assert (await queue.get(job.id)).state is JobState.QUEUED


class Traffic:
    """Those who ask and those who work, each step at random."""

    def __init__(self, queue: RedisQueue, clock: SteppedClock, seed: int) -> None:
        self.queue, self.clock, self.chance = queue, clock, random.Random(seed)
        self.jobs: set[str] = set()
        self.batches: list[Batch] = []
        self.ended: dict[str, JobState] = {}

    async def go_on(self) -> None:
        steps = [self.ask, self.ask, self.work, self.work, self.step]
        if self.batches:
            steps += [self.deliver, self.keep, self.crash]
        await self.chance.choice(steps)()

    async def ask(self) -> None:
        kind = self.chance.randrange(4)
        same: dict[str, Any] = {"digest": f"{kind:064x}"} if kind < 2 else {}
        job = new_job("sdxl" if kind == 3 else "flux", deadline_ms=self.chance.choice([600_000, 20_000_000]), **same)
        self.jobs.add((await self.queue.enqueue(job)).record.id)

    async def work(self) -> Batch | None:
        batch = await self.queue.claim("w", "s", [HotModel("flux", 3), HotModel("sdxl", 1)])
        self.batches += [batch] if batch else []
        return batch

    async def deliver(self, batch: Batch | None = None) -> None:
        batch = batch or self.chance.choice(self.batches)
        await self.queue.finish_all(batch.lease, {job.id: new_result() for job in batch.jobs})

    async def keep(self) -> None:
        await self.held(self.chance.choice(self.batches))

    async def held(self, batch: Batch) -> frozenset[str]:
        return (await self.queue.renew(batch.lease, [job.id for job in batch.jobs])).held

    async def crash(self) -> None:
        batch = self.chance.choice(self.batches)
        await self.queue.fail(batch.lease, batch.jobs[0].id, CRASH)

    async def step(self) -> None:
        self.clock.set(self.chance.choice([-HOUR, -31, 0, 31, HOUR]))
        await self.queue.reap()

    async def final_is_final(self) -> None:
        for job in self.jobs:
            if (record := await self.queue.get(job)).state.is_final:
                assert self.ended.setdefault(job, record.state) is record.state


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_the_clock_does_each_job_ends_once_and_is_paid_back_at_most_once(
    queue: RedisQueue, client: Redis, clock: SteppedClock, seed: int
) -> None:
    traffic = Traffic(queue, clock, seed)
    for _ in range(15):
        for _ in range(10):
            await traffic.go_on()
        await traffic.final_is_final()
    holders: Counter[str] = Counter()
    for batch in traffic.batches:
        holders.update(await traffic.held(batch))
    assert set(holders.values()) <= {1}, "one valid lease a job"
    clock.set(3 * HOUR)
    await queue.reap()
    while (waiting := await traffic.work()) is not None:
        await traffic.deliver(waiting)
    records = [await queue.get(job) for job in traffic.jobs]
    assert all(record.state.is_final for record in records), "nothing is lost"
    unhappy = {record.charge_id for record in records if record.state in (JobState.FAILED, JobState.EXPIRED)}
    assert await refunded(client) == dict.fromkeys(unhappy, 1)
    assert (await QueueCheck(POOL, client).check()).findings == []
