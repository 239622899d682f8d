"""A record that lacks a field which no job can do without, or has a number that is none: every verb passes it over, the reaper and the check put it aside."""

from typing import Any

import pytest
from redis.asyncio import Redis

from modelpool.errors import JobNotFound
from modelpool.jobs import JobState
from modelpool.queue.check import Problem, QueueCheck
from modelpool.queue.listing import JobList
from modelpool.queue.port import Batch, HotModel, Outcome
from modelpool.queue.redis import RedisQueue
from support import wait_until
from support.listening import Listener
from support.queues import POOL, Clock, Worker, new_job, new_result, refunded

SAME = "5a" * 32
FIELDS = ("tag", "work", "lane", "digest", "key", "model", "subject", "state", "deadline", "ticket", "body")
NUMBERS = ("tag", "work", "deadline", "ticket", "seq", "attempts", "enqueued", "price")
OTHERS = [  # what Lua takes for a number and Python does not, or the other way round
    ("attempts", "0.5"),
    ("enqueued", "1.5"),
    ("deadline", "0x1"),
    ("price", "1e2"),
    ("work", "nan"),
    ("work", "0x1"),
    ("tag", "inf"),
    ("ticket", "-000000001"),
    ("lane", "x"),
    ("state", "x"),
]
HOT = [HotModel("flux", 4)]

pytestmark = pytest.mark.parametrize(
    ("field", "value"),
    [*((field, None) for field in FIELDS), *((field, "x") for field in NUMBERS), *OTHERS],
    ids=lambda value: value or "lost",
)


class Damaged:
    """Three jobs of one batch, of which the first in line has lost a field, or has another value there, and one that follows it."""

    def __init__(self, client: Redis, clock: Clock, field: str, value: str | None) -> None:
        self.client, self.clock, self.field, self.value = client, clock, field, value
        self.queue = RedisQueue(POOL, client, now=clock)
        self.checker = QueueCheck(POOL, client, now=clock)
        self.job = new_job(id="damaged", subject="ann", digest=SAME)
        self.well = [new_job(id="well1", subject="bob"), new_job(id="well2", subject="cid")]
        self.heir = new_job(id="heir", subject="dan", digest=SAME)

    async def arrive(self) -> None:
        for job in (self.job, *self.well, self.heir):
            await self.queue.enqueue(job)

    async def lose(self) -> None:
        record = POOL.key("job", self.job.id)
        if self.value is None:
            await self.client.hdel(record, self.field)
        else:
            await self.client.hset(record, self.field, self.value)

    async def state(self, job: str) -> JobState:
        return (await self.queue.get(job)).state

    async def served(self) -> set[str]:
        """All that a willing worker is handed until nothing is left."""
        served: set[str] = set()
        while batch := await self.queue.claim("w", "slot", HOT):
            served |= await self.queue.finish_all(batch.lease, {job.id: new_result() for job in batch.jobs})
        return served

    async def nothing_is_left_of_it(self) -> None:
        await self.checker.check(repair=True)
        assert (await self.checker.check()).findings == []
        depths = (await self.queue.depths())["flux"]
        assert (depths.queued, depths.running) == (0, 0)
        assert not [key for key in await self.client.keys() if "damaged" in key]


@pytest.fixture
async def damaged(client: Redis, clock: Clock, field: str, value: str | None) -> Damaged:
    damaged = Damaged(client, clock, field, value)
    await damaged.arrive()
    await damaged.lose()
    return damaged


@pytest.fixture
async def running(client: Redis, clock: Clock, field: str, value: str | None) -> tuple[Damaged, Batch]:
    """The same, lost when the batch was under way."""
    damaged = Damaged(client, clock, field, value)
    await damaged.arrive()
    batch = await Worker(damaged.queue, *HOT).claim()
    assert len(batch.jobs) == 3
    await damaged.lose()
    return damaged, batch


async def test_the_check_names_it_puts_it_aside_and_goes_on(damaged: Damaged) -> None:
    problem = Problem.RECORD_CUT
    assert (problem, "damaged") in {(found.problem, found.what) for found in (await damaged.checker.check()).findings}
    report = await damaged.checker.check(repair=True)
    assert report.findings
    assert all(found.mended for found in report.findings)
    assert (problem, "damaged") in {(found.problem, found.what) for found in report.findings}
    assert (await damaged.checker.check()).findings == []
    with pytest.raises(JobNotFound):
        await damaged.queue.get("damaged")
    assert await refunded(damaged.client) == ({"charge-damaged": 1} if damaged.field != "price" else {})
    assert await damaged.served() == {"well1", "well2", "heir"}
    await damaged.nothing_is_left_of_it()


async def test_the_check_puts_aside_one_that_runs(running: tuple[Damaged, Batch]) -> None:
    damaged, batch = running
    report = await damaged.checker.check(repair=True)
    assert all(found.mended for found in report.findings)
    assert (await damaged.checker.check()).findings == []
    held = await damaged.queue.finish_all(batch.lease, {job.id: new_result() for job in batch.jobs})
    assert held == {"well1", "well2"}
    assert await damaged.served() == {"heir"}
    await damaged.nothing_is_left_of_it()


async def test_the_reaper_puts_it_aside_and_goes_on(damaged: Damaged) -> None:
    async with Listener(damaged.queue.events) as listener:
        damaged.clock.pass_seconds(4000)
        await damaged.queue.reap()
        ends = {("damaged", JobState.FAILED), *((job.id, JobState.EXPIRED) for job in (*damaged.well, damaged.heir))}
        await wait_until(lambda: {(event.job, event.state) for event in listener.heard} >= ends)
    assert await damaged.queue.reap() == 0
    for job in (*damaged.well, damaged.heir):
        assert await damaged.state(job.id) is JobState.EXPIRED
    assert set((await refunded(damaged.client)).values()) == {1}
    assert len(await refunded(damaged.client)) == (4 if damaged.field != "price" else 3)
    await damaged.nothing_is_left_of_it()


async def test_the_reaper_goes_on_where_one_lapses_with_its_batch(running: tuple[Damaged, Batch]) -> None:
    damaged, _ = running
    damaged.clock.pass_seconds(31)
    await damaged.queue.reap()
    for job in damaged.well:
        assert await damaged.state(job.id) is JobState.QUEUED
    assert await damaged.state("heir") is JobState.QUEUED
    assert await damaged.served() == {"well1", "well2", "heir"}
    await damaged.nothing_is_left_of_it()


async def test_workers_are_handed_the_others(damaged: Damaged) -> None:
    assert await damaged.served() == {"well1", "well2"}


async def test_of_a_batch_the_others_keep_their_lease_and_their_results(running: tuple[Damaged, Batch]) -> None:
    damaged, batch = running
    ids = [job.id for job in batch.jobs]
    renewal = await damaged.queue.renew(batch.lease, ids)
    assert renewal.held >= {"well1", "well2"}
    held = await damaged.queue.finish_all(batch.lease, {id: new_result() for id in ids})
    assert held >= {"well1", "well2"}


async def test_of_a_batch_the_others_are_given_back(running: tuple[Damaged, Batch]) -> None:
    damaged, batch = running
    assert await damaged.queue.release(batch.lease, [job.id for job in batch.jobs]) == 2


async def test_an_identical_job_waits_itself(damaged: Damaged) -> None:
    answer = await damaged.queue.enqueue(job := new_job(subject="eve", digest=SAME))
    assert answer.outcome is Outcome.QUEUED
    await damaged.checker.check(repair=True)
    assert (await damaged.checker.check()).findings == []
    assert job.id in await damaged.served()
    assert await damaged.state("heir") is JobState.SUCCEEDED


async def test_who_asks_for_it_is_told(damaged: Damaged) -> None:
    for ask in (damaged.queue.get, damaged.queue.cancel):
        with pytest.raises(JobNotFound, match="check --repair"):
            await ask("damaged")
    assert await damaged.queue.position("damaged") is None
    rows: list[Any] = [row async for page in JobList(POOL, damaged.client).pages() for row in page]
    assert {row.id for row in rows} == {"well1", "well2", "heir"}
