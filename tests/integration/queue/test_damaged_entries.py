"""One entry among what is due, or one record, that is not as it should be holds up nobody else: workers claim, reapers reap."""

import pytest
from redis.asyncio import Redis

from modelpool.errors import JobNotFound
from modelpool.jobs import JobError, JobFailure, JobState, Lane
from modelpool.queue.check import Problem, QueueCheck
from modelpool.queue.listing import JobList
from modelpool.queue.port import HotModel
from modelpool.queue.redis import RedisQueue
from modelpool.queue.rules import WORKER_LOST
from support.queues import POOL, Clock, Worker, new_job, new_result, refunded

SAME = "5a" * 32
DUE = POOL.key("due")
ONE = HotModel("flux", 1)


@pytest.fixture
def queue(client: Redis, clock: Clock) -> RedisQueue:
    return RedisQueue(POOL, client, now=clock)


async def problems(client: Redis, clock: Clock, *, repair: bool = False) -> list[tuple[Problem, str]]:
    return [(f.problem, f.what) for f in (await QueueCheck(POOL, client, now=clock).check(repair=repair)).findings]


@pytest.mark.parametrize("field", ["slot", "company", "started", "lease", "line", "seq"])
async def test_a_running_job_whose_record_lost_what_it_can_do_without_runs_again(
    client: Redis, clock: Clock, queue: RedisQueue, field: str
) -> None:
    await queue.enqueue(job := new_job(subject="ann"))
    await queue.enqueue(other := new_job(subject="bob"))
    await Worker(queue, ONE).claim()
    await client.hdel(POOL.key("job", job.id), field)
    clock.pass_seconds(31)
    assert await queue.reap() == 1
    assert {(await Worker(queue, ONE).claim()).jobs[0].id for _ in range(2)} == {job.id, other.id}


async def test_an_attempt_on_nobody_knows_which_slot_is_kept_as_such(
    client: Redis, clock: Clock, queue: RedisQueue
) -> None:
    await queue.enqueue(job := new_job())
    await Worker(queue, ONE).claim()
    await client.hdel(POOL.key("job", job.id), "slot")
    clock.pass_seconds(31)
    await queue.reap()
    lost = clock.now
    batch = await Worker(queue, ONE).claim()
    await client.hdel(POOL.key("job", job.id), "slot")
    crash = JobError(code="crash", message="It fell over.")
    assert await queue.fail(batch.lease, job.id, crash)
    assert (await queue.get(job.id)).failures == (
        JobFailure(at=lost, slot=None, error=WORKER_LOST),
        JobFailure(at=lost, slot=None, error=crash),
    )


@pytest.mark.parametrize("which", ["leader", "follower"])
async def test_a_job_that_is_looked_after_too_early_waits_until_its_deadline(
    client: Redis, clock: Clock, queue: RedisQueue, which: str
) -> None:
    for job in (new_job(id="leader", digest=SAME), new_job(id="follower", digest=SAME), new_job(id="other")):
        await queue.enqueue(job)
    deadline = (await queue.get(which)).deadline
    await client.zadd(DUE, {which: clock.now - 5})
    assert await queue.reap() == 0
    assert await client.zscore(DUE, which) == deadline
    before = await queue.get(which)
    assert (before.state, before.attempts, before.solo, before.failures) == (
        JobState.QUEUED if which == "leader" else JobState.FOLLOWING, 0, False, ()
    )  # fmt: skip
    assert await problems(client, clock) == []

    await client.zadd(DUE, {which: clock.now - 5})
    assert await Worker(queue, "flux").ids() == ["leader", "other"]


@pytest.mark.parametrize("which", ["leader", "follower"])
@pytest.mark.parametrize("shift", [-7_200_000, 7_200_000])
async def test_the_check_tells_of_a_deadline_that_is_watched_at_the_wrong_time(
    client: Redis, clock: Clock, queue: RedisQueue, which: str, shift: int
) -> None:
    for job in (new_job(id="leader", digest=SAME), new_job(id="follower", digest=SAME)):
        await queue.enqueue(job)
    deadline = (await queue.get(which)).deadline
    await client.zadd(DUE, {which: deadline + shift})
    assert await problems(client, clock) == [(Problem.DEADLINE_ASTRAY, which)]
    assert await client.zscore(DUE, which) == deadline + shift
    assert await problems(client, clock, repair=True) == [(Problem.DEADLINE_ASTRAY, which)]
    assert await client.zscore(DUE, which) == deadline
    assert await problems(client, clock) == []


async def test_one_that_nobody_can_look_after_is_put_off(client: Redis, clock: Clock, queue: RedisQueue) -> None:
    await queue.enqueue(job := new_job("hurt"))
    await Worker(queue, "hurt").claim()
    await queue.enqueue(other := new_job())
    await queue.enqueue(new_job("old", id="expiring", deadline_ms=60_000))
    line = POOL.key("line", "free", "hurt")
    await client.set(line, "no line")
    for _ in range(3):
        clock.pass_seconds(30)
        await queue.reap()
        assert await client.zscore(DUE, job.id) == clock.now + 30_000
    assert (await queue.get("expiring")).state is JobState.EXPIRED
    await client.delete(line)
    depths = await queue.depths()
    found = {model: (depth.queued, depth.running) for model, depth in depths.items()}
    assert found == {"hurt": (0, 1), "flux": (1, 0), "old": (0, 0)}
    assert await Worker(queue, "flux").ids() == [other.id]


@pytest.mark.parametrize("field", ["body", "b2"])
async def test_a_job_whose_request_cannot_be_read_any_more_fails_at_once_and_the_others_run(
    client: Redis, clock: Clock, queue: RedisQueue, field: str
) -> None:
    await queue.enqueue(cut := new_job(subject="ann", prompt="a red circle " * 10))
    await client.hset(POOL.key("job", cut.id), field, "{")
    assert (Problem.RECORD_CUT, cut.id) in await problems(client, clock)
    await queue.enqueue(other := new_job(subject="bob"))
    worker = Worker(queue, HotModel("flux", 2))
    assert await worker.ids() == [other.id]
    assert await refunded(client) == {cut.charge_id: 1}
    with pytest.raises(JobNotFound):
        await queue.get(cut.id)
    assert await worker.ids() == []


async def test_who_follows_a_job_whose_request_cannot_be_read_any_more_runs_instead(
    client: Redis, clock: Clock, queue: RedisQueue
) -> None:
    for name in ("cut", "heir", "other"):
        await queue.enqueue(new_job(id=name, subject=name, digest=SAME))
    await client.hset(POOL.key("job", "cut"), "body", "{")
    worker = Worker(queue, ONE)
    assert await worker.ids() == ["heir"]
    assert (await queue.get("other")).leader == "heir"
    assert await refunded(client) == {"charge-cut": 1}
    with pytest.raises(JobNotFound):
        await queue.get("cut")
    assert await problems(client, clock) == []


async def test_a_free_job_goes_back_when_the_record_of_its_only_paid_follower_is_cut(
    client: Redis, clock: Clock, queue: RedisQueue
) -> None:
    waiting = [new_job(subject="many", lane=Lane.ANONYMOUS) for _ in range(3)]
    for job in waiting:
        await queue.enqueue(job)
    await queue.enqueue(paid := new_job(lane=Lane.PAID, subject="paid", digest=waiting[2].digest))
    assert await queue.position(waiting[2].id) == 0
    await client.hdel(POOL.key("job", paid.id), "ticket")
    await problems(client, clock, repair=True)
    assert [await queue.position(job.id) for job in waiting] == [0, 1, 2]
    assert await problems(client, clock) == []


@pytest.mark.parametrize("work", ["nan", "-inf", "0x100", None])
async def test_what_a_job_without_work_leaves_in_the_tally_is_no_nonsense(
    client: Redis, clock: Clock, queue: RedisQueue, work: str | None
) -> None:
    await queue.enqueue(hurt := new_job(deadline_ms=60_000))
    await queue.enqueue(new_job())
    record = POOL.key("job", hurt.id)
    await (client.hdel(record, "work") if work is None else client.hset(record, "work", work))
    clock.pass_seconds(61)
    assert await queue.reap() == 1
    depth = (await queue.depths())["flux"]
    assert (depth.queued, depth.queued_work) == (1, 2.0), "how much the work was, only the check can count"
    await problems(client, clock, repair=True)
    assert (await queue.depths())["flux"].queued_work == 1.0


@pytest.mark.parametrize(
    ("field", "value"),
    [("started", "x"), ("failures", "x"), ("failures", "1 slot {"), ("failures", "x slot {}"), ("error", "x")],
)
async def test_what_is_no_part_of_the_work_but_cannot_be_read_is_told_as_damage(
    client: Redis, clock: Clock, queue: RedisQueue, field: str, value: str
) -> None:
    await queue.enqueue(hurt := new_job())
    await queue.enqueue(other := new_job())
    await client.hset(POOL.key("job", hurt.id), field, value)
    with pytest.raises(JobNotFound, match="check --repair"):
        await queue.get(hurt.id)
    rows = [row.id async for page in JobList(POOL, client).pages() for row in page]
    assert other.id in rows
    assert await problems(client, clock, repair=True) == [(Problem.RECORD_CUT, hurt.id)]
    assert await problems(client, clock) == []
    assert await refunded(client) == {hurt.charge_id: 1}


@pytest.mark.parametrize("name", ["debt:free", "served:free:cold"])
async def test_a_virtual_time_that_is_none_counts_as_none(client: Redis, queue: RedisQueue, name: str) -> None:
    await client.set(POOL.key(name, "ann"), "x", ex=3600)
    await queue.enqueue(cold := new_job("cold", subject="ann"))
    await queue.enqueue(new_job(subject="bob"))
    batch = await Worker(queue, HotModel("cold", 1), ONE).claim()
    assert [job.id for job in batch.jobs] == [cold.id]


@pytest.mark.parametrize("field", ["body", "subject", "model", "trace"])
async def test_a_value_that_is_no_text_stops_nobody(client: Redis, clock: Clock, queue: RedisQueue, field: str) -> None:
    for name in ("damaged", "well"):
        await queue.enqueue(new_job(id=name, subject=name))
    await client.hset(POOL.key("job", "damaged"), field, b"\xff")
    assert "well" in {job.id async for page in JobList(POOL, client).pages() for job in page}
    batch = await queue.claim("w", "slot", [HotModel("flux", 4)])
    assert batch is not None
    assert "well" in {job.id for job in batch.jobs}
    await QueueCheck(POOL, client, now=clock).check(repair=True)
    assert await queue.finish(batch.lease, "well", new_result())
