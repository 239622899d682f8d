"""What the queue keeps when Redis, the network or a process does not."""

import asyncio
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

import pytest
from redis.asyncio import Redis

from modelpool.errors import JobNotFound, QueueUnavailable
from modelpool.jobs import JobError, JobState, Lane
from modelpool.queue.check import Problem, QueueCheck
from modelpool.queue.connection import connect
from modelpool.queue.listing import JobList
from modelpool.queue.port import HotModel, Outcome
from modelpool.queue.redis import RedisQueue
from modelpool.queue.scripts import FLIGHT_DIGITS
from support import RedisProcess, wait_until
from support.cutting_proxy import CuttingProxy
from support.queues import POOL, Clock, Worker, new_job, new_result


async def test_a_crash_of_redis_with_aof_loses_nothing(redis_kind: RedisProcess, tmp_path: Path) -> None:
    durable = ["--appendonly", "yes", "--appendfsync", "always"]
    with RedisProcess(redis_kind.program, tmp_path, durable) as server:
        client = await connect(server.url)
        queue = RedisQueue(POOL, client)
        worker = Worker(queue, HotModel("flux", 4))
        jobs = [new_job(lane=Lane.PAID if n % 3 else Lane.ACCOUNT, subject=f"user{n % 4}") for n in range(30)]
        for job in jobs:
            await queue.enqueue(job)
        batch = await worker.claim()
        await queue.finish(batch.lease, batch.jobs[0].id, new_result())
        before = [await queue.get(job.id) for job in jobs]
        server.kill()
        with pytest.raises(QueueUnavailable):
            await queue.enqueue(new_job())
        server.start()
        await wait_until(client.ping)
        assert [await queue.get(job.id) for job in jobs] == before
        # The lease outlived the crash, and so did the order.
        for member in batch.jobs[1:]:
            assert await queue.finish(batch.lease, member.id, new_result())
        while ids := await worker.ids():
            for id in ids:
                await queue.finish((await lease_of(client, id)), id, new_result())
        assert {(await queue.get(job.id)).state for job in jobs} == {JobState.SUCCEEDED}
        await client.aclose()


async def lease_of(client: Redis, job: str) -> str:
    lease: Any = await client.hget(POOL.key("job", job), "lease")
    return str(lease)


class TestConnectionsCutAtAnyByte:
    """The script ran, the client heard half of the reply or nothing, and asks again."""

    @pytest.fixture
    async def proxy(self, redis_kind: RedisProcess) -> AsyncIterator[CuttingProxy]:
        async with CuttingProxy(redis_kind.port) as proxy:
            yield proxy

    @pytest.fixture
    async def queue(self, proxy: CuttingProxy) -> AsyncIterator[RedisQueue]:
        client = await connect(f"redis://127.0.0.1:{proxy.port}/0", max_connections=1)
        yield RedisQueue(POOL, client)
        await client.aclose()

    @pytest.mark.parametrize("bytes_of_reply", [0, 1, 7, 20])
    async def test_a_job_is_queued_run_and_ended_once(
        self, queue: RedisQueue, proxy: CuttingProxy, bytes_of_reply: int
    ) -> None:
        worker = Worker(queue, "flux")
        jobs = [new_job(idempotency_key=f"key{n}", fingerprint="f") for n in range(5)]
        await self.warm_up(queue)
        for job in jobs:
            proxy.cut_after(bytes_of_reply)
            assert (await queue.enqueue(job)).outcome is Outcome.QUEUED
        assert (await queue.depths())["flux"].queued == 5
        proxy.cut_after(bytes_of_reply)
        batch = await worker.claim()
        assert [job.id for job in batch.jobs] == [job.id for job in jobs]
        for job in jobs[:3]:
            proxy.cut_after(min(bytes_of_reply, 2))
            assert await queue.finish(batch.lease, job.id, new_result())
        proxy.cut_after(min(bytes_of_reply, 2))
        await queue.cancel(jobs[3].id)
        proxy.cut_after(min(bytes_of_reply, 2))
        await queue.fail(batch.lease, jobs[4].id, JobError(code="x", message="y"))
        assert await worker.ids() == [jobs[4].id]
        assert (await queue.depths())["flux"].running == 1
        assert proxy.cuts >= 11
        assert (await QueueCheck(POOL, queue.client).check()).findings == []

    @pytest.mark.parametrize("seed", range(6))
    async def test_requests_and_replies_are_cut_anywhere_and_nothing_happens_twice(
        self, queue: RedisQueue, proxy: CuttingProxy, seed: int
    ) -> None:
        dice = Random(seed)

        def cut() -> None:
            arm = dice.choice([proxy.cut_after, proxy.cut_request_after])
            arm(dice.randrange(dice.choice([3, 40, 900])))

        worker = Worker(queue, "flux")
        jobs = [new_job(idempotency_key=f"key{n}", fingerprint="f") for n in range(9)]
        await self.warm_up(queue)
        for job in jobs:
            cut()
            assert (await queue.enqueue(job)).outcome is Outcome.QUEUED
        cut()
        batch = await worker.claim()
        assert [job.id for job in batch.jobs] == [job.id for job in jobs[:8]]
        for n, member in enumerate(batch.jobs):
            cut()
            match n % 3:
                case 0:
                    assert await queue.finish(batch.lease, member.id, new_result())
                case 1:
                    assert (await queue.cancel(member.id)).state is JobState.CANCELLED
                case _:
                    await queue.fail(batch.lease, member.id, JobError(code="x", message="y"))
        assert proxy.cuts > 5
        proxy.let_pass()
        states = [(record.state, record.attempts) for record in [await queue.get(job.id) for job in jobs]]
        ended = [(JobState.SUCCEEDED, 0), (JobState.CANCELLED, 0), (JobState.QUEUED, 0)]
        assert states == [*ended, *ended, *ended[:2], (JobState.QUEUED, 0)]
        assert (await QueueCheck(POOL, queue.client).check()).findings == []

    async def warm_up(self, queue: RedisQueue) -> None:
        """Every script is loaded, so that what is cut is a reply and not a request to load one."""
        await queue.enqueue(warm := new_job("other"))
        batch = await Worker(queue, "other").claim()
        await queue.fail(batch.lease, warm.id, JobError(code="x", message="y"))
        await queue.finish("none", warm.id, new_result())
        await queue.cancel(warm.id)
        await queue.depths()


async def test_half_a_record_is_in_nobodys_way(client: Redis, clock: Clock) -> None:
    queue = RedisQueue(POOL, client, now=clock)
    await queue.enqueue(whole := new_job())
    for id in ("half1", "half2", "half3"):
        await client.hset(POOL.key("job", id), "state", "queued")
        await client.zadd(POOL.key("due"), {id: clock.now - 1})
        for verb in (queue.get, queue.cancel):
            with pytest.raises(JobNotFound, match=r"damaged.*modelpool queue check --repair"):
                await verb(id)
    assert [job.id async for page in JobList(POOL, client).pages() for job in page] == [whole.id]
    await client.zrem(POOL.key("due"), "half2", "half3")
    assert await queue.reap() == 1
    await client.zadd(POOL.key("due"), {"half2": clock.now - 1})
    assert await Worker(queue, "flux").ids() == [whole.id]
    findings = (await QueueCheck(POOL, client, now=clock).check(repair=True)).findings
    assert {finding.what for finding in findings if finding.problem is Problem.RECORD_CUT} == {"half3"}
    for id in ("half1", "half2", "half3"):
        with pytest.raises(JobNotFound, match="There is no job"):
            await queue.get(id)


async def test_every_key_dies_and_a_finished_pool_leaves_only_records(client: Redis, clock: Clock) -> None:
    queue = RedisQueue(POOL, client, now=clock)
    worker = Worker(queue, "flux", "sdxl")
    for n in range(12):
        await queue.enqueue(new_job(("flux", "sdxl")[n % 2], list(Lane)[n % 3], idempotency_key=f"k{n}"))
    leader = new_job(digest="d" * 64, deadline_ms=50_000)
    for job in (leader, new_job(digest="d" * 64), new_job(digest="d" * 64, lane=Lane.PAID)):
        await queue.enqueue(job)
    await queue.shed("flux")
    batch = await worker.claim()
    await queue.fail(batch.lease, batch.jobs[0].id, JobError(code="x", message="y"))
    await assert_every_key_dies(client)
    await queue.cancel(leader.id)
    clock.pass_seconds(31)
    await queue.reap()
    await assert_every_key_dies(client)
    await queue.enqueue(changed_mind := new_job())
    await queue.cancel(changed_mind.id)
    while rest := await queue.claim("w", "s", worker.hot):
        await queue.finish_all(rest.lease, {job.id: new_result() for job in rest.jobs})
    await assert_every_key_dies(client)
    keys: Any = await client.keys("*")
    left = {key.removeprefix(POOL.key("")).split(":")[0] for key in keys}
    assert left == {"job", "idempotency", "cache", "refunds", "tally", "demand", "debt", "served", "lease"}


async def test_what_is_due_keeps_its_life_when_its_only_lease_is_renewed(client: Redis) -> None:
    queue = RedisQueue(POOL, client)
    await queue.enqueue(job := new_job())
    batch = await Worker(queue, "flux").claim()
    await queue.renew(batch.lease, [job.id])
    await assert_every_key_dies(client)


async def test_nobody_is_handed_a_finished_job_that_damage_left_in_a_line(client: Redis) -> None:
    queue = RedisQueue(POOL, client)
    done, other, waiting = jobs = [new_job() for _ in range(3)]
    for job in jobs:
        await queue.enqueue(job)
    places = [key async for key in client.scan_iter(match=POOL.key("*")) if await client.type(key) == "zset"]
    before: Any = {key: await client.zrange(key, 0, -1, withscores=True) for key in places if ":due" not in key}
    for job in (done, other):
        await queue.cancel(job.id)
    for key, members in before.items():
        await client.zadd(key, dict(members))
    assert await Worker(queue, HotModel("flux", 8)).ids() == [waiting.id]


async def test_records_stay_compact_until_they_die(client: Redis, clock: Clock) -> None:
    queue = RedisQueue(POOL, client, now=clock)
    worker = Worker(queue, "flux")
    record = POOL.key("job", (job := new_job(subject="user-1", trace="00-abc")).id)
    flights = POOL.key("flight", job.digest[:FLIGHT_DIGITS])
    await queue.enqueue(job)
    crowd = [new_job(digest=job.digest[:FLIGHT_DIGITS] + sha256(b"%d" % n).hexdigest()[:61]) for n in range(250)]
    await asyncio.gather(*map(queue.enqueue, crowd))
    compact = {"listpack", "ziplist"}
    assert {await client.object("encoding", key) for key in (record, flights)} <= compact
    assert int(await client.memory_usage(record) or 0) < 1000
    for _ in range(2):
        batch = await worker.claim()
        await queue.fail(batch.lease, job.id, JobError(code="x", message="a long message " * 20))
    batch = await worker.claim()
    assert await queue.finish(batch.lease, job.id, new_result(key="results/" + "k" * 80))
    assert await client.object("encoding", record) in compact


async def assert_every_key_dies(client: Redis) -> None:
    keys: Any = await client.keys("*")
    day = 24 * 3600 * 1000
    lives = {key: await client.pttl(key) for key in keys}
    assert {key: life for key, life in lives.items() if not 0 < life <= 2 * day + 3_600_000} == {}
