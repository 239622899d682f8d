"""During an upgrade two versions of the scripts, of the client, and of the records are in use at once."""

import random

import pytest
from redis.asyncio import Redis

from modelpool.jobs import JobError, JobState, Lane, NewJob
from modelpool.queue import scripts
from modelpool.queue.check import QueueCheck
from modelpool.queue.port import HotModel
from modelpool.queue.redis import RedisQueue
from support import older_queue
from support.older_queue import OlderQueue
from support.queues import POOL, Clock, Worker, new_job, new_result, refunded

CRASH = JobError(code="x", message="y")
HOUR_MS = 3_600_000


@pytest.fixture
def newer(client: Redis, clock: Clock) -> RedisQueue:
    return RedisQueue(POOL, client, now=clock)


@pytest.fixture
def older(client: Redis, clock: Clock) -> OlderQueue:
    return OlderQueue(POOL, client, now=clock)


@pytest.fixture(params=["an older one first", "a newer one first"])
def pair(request: pytest.FixtureRequest, newer: RedisQueue, older: OlderQueue) -> tuple[RedisQueue, RedisQueue]:
    """A queue of each version, in either order."""
    return (older, newer) if request.param == "an older one first" else (newer, older)


async def findings(client: Redis, clock: Clock) -> list[object]:
    return list((await QueueCheck(POOL, client, now=clock).check()).findings)


async def test_two_versions_of_the_scripts_work_side_by_side(
    client: Redis, clock: Clock, newer: RedisQueue, older: OlderQueue
) -> None:
    await client.script_flush()
    queues = (newer, older)
    workers = [Worker(queue, HotModel("flux", 2), name=f"w{n}") for n, queue in enumerate(queues)]
    jobs = [new_job(subject=f"user{n % 3}", digest=f"{n // 2:032x}" * 2) for n in range(20)]
    for n, job in enumerate(jobs):
        await queues[n % 2].enqueue(job)
    turn = 0
    while (await newer.depths())["flux"].queued:
        batch = await workers[turn % 2].claim()
        other = queues[(turn + 1) % 2]
        assert (await other.renew(batch.lease, [job.id for job in batch.jobs])).lost == frozenset()
        if not batch.jobs[0].solo:
            assert await other.fail(batch.lease, batch.jobs[0].id, CRASH)
        await other.finish_all(batch.lease, {job.id: new_result() for job in batch.jobs})
        if turn == 1:
            await client.script_flush()  # a restart, between the two versions
        turn += 1
    assert older.runner.loaded.count("claim") == 2
    assert all(older_queue.source(verb) != scripts.source(verb) for verb in older.runner.loaded)
    for job in jobs:
        records = [await queue.get(job.id) for queue in queues]
        assert records[0] == records[1]
        assert records[0].state is JobState.SUCCEEDED
    assert await findings(client, clock) == []


def any_job(chance: random.Random, name: str) -> NewJob:
    """One of few users and kinds, often the same as others."""
    lane, kind = chance.choice(list(Lane)), chance.randrange(8)
    return new_job(
        lane=lane,
        subject=f"{lane} {chance.randrange(3)}",
        steps=4 + kind % 2,
        deadline_ms=chance.choice((60_000, 600_000)),
        id=name,
        digest=f"{kind if kind < 4 else chance.getrandbits(60) + 8:064x}",
        use_cache=kind != 3,
    )


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_two_versions_do_in_turn_nothing_is_lost(
    client: Redis, clock: Clock, newer: RedisQueue, older: OlderQueue, seed: int
) -> None:
    chance = random.Random(seed)
    queues = (newer, older)
    jobs: list[NewJob] = []
    batches = []
    for step in range(150):
        queue = chance.choice(queues)
        match chance.choice(("enqueue", "enqueue", "enqueue", "claim", "finish", "fail", "release", "cancel", "time")):
            case "enqueue":
                jobs.append(any_job(chance, f"job{seed}of{len(jobs)}"))
                await client.delete(POOL.key("cache", jobs[-1].digest))
                await queue.enqueue(jobs[-1])
            case "claim":
                mixes = chance.random() < 0.3
                batch = await queue.claim("w", "slot", [HotModel("flux", chance.choice((1, 2, 4)))], mixes=mixes)
                batches += [batch] if batch else []
            case "time":
                clock.pass_seconds(chance.choice((1, 20, 40)))
                await queue.reap()
            case "cancel" if jobs:
                job = chance.choice(jobs)
                if not (await queue.get(job.id)).state.is_final:
                    await queue.cancel(job.id)
            case verb if batches:
                batch = chance.choice(batches)
                ids = [job.id for job in batch.jobs if chance.random() < 0.7]
                if verb == "finish":
                    await queue.finish_all(batch.lease, {id: new_result() for id in ids})
                elif verb == "release":
                    await queue.release(batch.lease, ids)
                elif ids:
                    await queue.fail(batch.lease, ids[0], CRASH)
        if step % 10 == 9:
            assert await findings(client, clock) == []
    clock.pass_seconds(1000)
    await newer.reap()
    records = [[await queue.get(job.id) for job in jobs] for queue in queues]
    assert records[0] == records[1]
    assert all(record.state.is_final for record in records[0])
    unserved = (JobState.FAILED, JobState.EXPIRED)
    returned = await refunded(client)
    assert all(
        returned[job.charge_id or ""] == 1
        for job, record in zip(jobs, records[0], strict=True)
        if record.state in unserved
    )
    assert set(returned.values()) <= {1}
    assert (await newer.depths())["flux"] == (await older.depths())["flux"]
    assert (await newer.depths())["flux"].queued == (await newer.depths())["flux"].running == 0


async def test_a_leader_of_one_version_is_lifted_cancelled_and_inherited_by_the_other(
    client: Redis, clock: Clock, pair: tuple[RedisQueue, RedisQueue]
) -> None:
    one, other = pair
    ahead, leader = new_job(subject="a", work=5), new_job(subject="a", digest="d" * 64)
    heir, last = (new_job(lane=lane, subject=lane, digest="d" * 64) for lane in (Lane.PAID, Lane.ACCOUNT))
    await one.enqueue(ahead)
    assert (await one.enqueue(leader)).position == 1
    assert (await other.enqueue(heir)).record.leader == leader.id
    assert await one.position(leader.id) == await other.position(leader.id) == 0
    assert (await one.enqueue(last)).record.leader == leader.id
    await other.cancel(leader.id)
    assert (await one.get(heir.id)).state is JobState.QUEUED
    assert (await other.get(last.id)).leader == heir.id
    assert await Worker(one, HotModel("flux", 1)).ids() == [heir.id]
    assert await findings(client, clock) == []


async def test_a_line_made_anew_by_one_version_lives_as_long_as_a_job_of_the_other(
    client: Redis, clock: Clock, pair: tuple[RedisQueue, RedisQueue]
) -> None:
    one, other = pair
    long, short = 100 * HOUR_MS, HOUR_MS
    await other.enqueue(new_job(deadline_ms=long))
    await Worker(other, "flux").claim()
    await one.enqueue(new_job(deadline_ms=short))
    await other.enqueue(job := new_job(deadline_ms=long))
    for key in (POOL.key("line", "free", "flux"), POOL.key("due"), POOL.key("tally"), POOL.key("job", job.id)):
        assert await client.pttl(key) >= long


async def test_what_a_user_owes_is_remembered_while_a_job_of_the_other_version_waits(
    client: Redis, pair: tuple[RedisQueue, RedisQueue]
) -> None:
    one, other = pair
    await one.enqueue(new_job(subject="a", deadline_ms=50 * HOUR_MS))
    await other.enqueue(new_job(subject="a", deadline_ms=HOUR_MS))
    assert await client.pttl(POOL.key("debt", "free", "a")) >= 50 * HOUR_MS - 60_000


async def test_the_errors_of_attempts_are_readable_whoever_wrote_them(
    pair: tuple[RedisQueue, RedisQueue],
) -> None:
    one, other = pair
    await one.enqueue(job := new_job(trace="00-trace"))
    sentences = ["first " * 40, "second " * 290, "third " * 90]
    for queue, partner, sentence in zip((one, other, one), (other, one, other), sentences, strict=True):
        batch = await Worker(queue, "flux").claim()
        assert batch.jobs[0].request == job.request
        assert await partner.fail(batch.lease, job.id, JobError(code="ü", message=sentence))
    records = [await queue.get(job.id) for queue in pair]
    assert records[0] == records[1]
    assert records[0].error is not None
    assert [failure.error.message for failure in records[0].failures] + [records[0].error.message] == sentences


async def test_what_a_newer_version_has_written_into_a_record_stays(client: Redis, clock: Clock) -> None:
    queue = RedisQueue(POOL, client, now=clock)
    worker = Worker(queue, "flux")
    for job in (jobs := [new_job(), new_job()]):
        await queue.enqueue(job)
        await client.hset(POOL.key("job", job.id), "future", "x y")
    batch = await worker.claim()
    await queue.fail(batch.lease, jobs[0].id, CRASH)
    await queue.release(batch.lease, [jobs[1].id])
    await queue.cancel(jobs[1].id)
    batch = await worker.claim()
    await queue.finish(batch.lease, jobs[0].id, new_result())
    for job in jobs:
        assert await client.hget(POOL.key("job", job.id), "future") == "x y"
        assert (await queue.get(job.id)).state.is_final
    assert (await QueueCheck(POOL, client, now=clock).check(repair=True)).findings == []
