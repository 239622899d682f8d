"""Waiters over a queue that says only what the test wants: hints may be missing, doubled or late."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, cast

import pytest

from modelpool.errors import JobNotFound
from modelpool.jobs import JobEvent, JobRecord, JobRequest, JobState, Lane
from modelpool.queue.port import Queue
from modelpool.resources.models import Task
from modelpool.tasks import end
from modelpool_api.waiting import REMEMBERED, Waiting
from support import wait_until
from support.waiting import PATIENCE_SECONDS

REQUEST = JobRequest(model="m", revision="r", task=Task.TEXT_TO_IMAGE, width=64, height=64, steps=1, guidance=0, seed=1)


class ScriptedQueue:
    """Holds records; tells events that the test puts in."""

    def __init__(self) -> None:
        self.records: dict[str, JobRecord] = {}
        self.positions: dict[str, int] = {}
        self.reads = 0
        self.told: asyncio.Queue[JobEvent] = asyncio.Queue()
        self.connected: Callable[[], None] | None = None

    def set(self, id: str, state: JobState, **fields: Any) -> JobRecord:
        before = self.records.get(id)
        record = JobRecord(
            id=id,
            pool="default/studio",
            subject="s",
            lane=Lane.PAID,
            state=state,
            model="m",
            request=REQUEST,
            work=1,
            price=1,
            digest="d",
            seq=before.seq + 1 if before else 1,
            deadline=10**13,
            enqueued_at=0,
            **fields,
        )
        self.records[id] = record
        return record

    async def get(self, job: str) -> JobRecord:
        self.reads += 1
        if job not in self.records:
            raise JobNotFound("no such job")
        return self.records[job]

    async def position(self, job: str) -> int | None:
        return self.positions.get(job)

    async def events(self, on_connect: Callable[[], None] | None = None) -> AsyncIterator[JobEvent]:
        self.connected = on_connect
        if on_connect is not None:
            on_connect()
        while True:
            yield await self.told.get()


def waiting_on(queue: ScriptedQueue, reread: float = 30.0, ended: Callable[[str], None] | None = None) -> Waiting:
    return Waiting(cast(Queue, queue), reread_seconds=reread, on_final=ended)


@pytest.fixture
def queue() -> ScriptedQueue:
    return ScriptedQueue()


@pytest.fixture
async def waiting(queue: ScriptedQueue) -> AsyncIterator[Waiting]:
    waiting = waiting_on(queue)
    task = asyncio.create_task(waiting.run())
    await waiting.listening.wait()
    yield waiting
    await end(task)


def event(record: JobRecord, **fields: Any) -> JobEvent:
    return JobEvent(job=record.id, seq=record.seq, state=record.state, **fields)


async def test_a_waiter_reads_the_record_when_the_end_is_told(queue: ScriptedQueue, waiting: Waiting) -> None:
    queue.set("a", JobState.QUEUED)
    waiter = asyncio.create_task(waiting.final("a", 30))
    await wait_until(lambda: waiting.watched)
    queue.told.put_nowait(event(queue.set("a", JobState.RUNNING)))
    queue.told.put_nowait(event(queue.set("a", JobState.SUCCEEDED)))
    assert (await waiter).state is JobState.SUCCEEDED
    assert queue.reads == 2  # at the start and at the end, not in between
    assert waiting.watched == 0


async def test_a_lost_hint_costs_time_but_not_the_answer(queue: ScriptedQueue) -> None:
    waiting = waiting_on(queue, reread=0.02)
    queue.set("a", JobState.QUEUED)
    waiter = asyncio.create_task(waiting.final("a", 30))
    await wait_until(lambda: waiting.watched)
    queue.set("a", JobState.FAILED)
    assert (await waiter).state is JobState.FAILED


async def test_a_reconnect_lets_everybody_read_again(queue: ScriptedQueue, waiting: Waiting) -> None:
    queue.set("a", JobState.QUEUED)
    waiter = asyncio.create_task(waiting.final("a", 30))
    await wait_until(lambda: waiting.watched)
    queue.set("a", JobState.CANCELLED)
    assert queue.connected is not None
    queue.connected()
    assert (await waiter).state is JobState.CANCELLED


async def test_a_hint_before_the_truth_is_no_answer(queue: ScriptedQueue, waiting: Waiting) -> None:
    record = queue.set("a", JobState.QUEUED)
    waiter = asyncio.create_task(waiting.final("a", 30))
    await wait_until(lambda: waiting.watched)
    waiting.dispatch(JobEvent(job="a", seq=9, state=JobState.SUCCEEDED))
    await wait_until(lambda: queue.reads == 2)
    assert not waiter.done()
    queue.told.put_nowait(event(queue.set("a", JobState.SUCCEEDED)))
    assert (await waiter).seq > record.seq


async def test_closing_sends_everybody_home(queue: ScriptedQueue, waiting: Waiting) -> None:
    queue.set("a", JobState.QUEUED)
    waiter = asyncio.create_task(waiting.final("a", 30))
    follower = asyncio.create_task(_all(waiting, "a"))
    await wait_until(lambda: queue.reads == 2)
    waiting.close()
    assert (await waiter).state is JobState.QUEUED
    assert len(await follower) == 1
    assert (await waiting.final("a", 30)).state is JobState.QUEUED


async def _all(waiting: Waiting, job: str) -> list[object]:
    return [update async for update in waiting.follow(job)]


async def test_an_unknown_job_leaves_no_watch_behind(queue: ScriptedQueue, waiting: Waiting) -> None:
    with pytest.raises(JobNotFound):
        await waiting.final("nope", 30)
    with pytest.raises(JobNotFound):
        async for _ in waiting.follow("nope"):
            pass
    assert waiting.watched == 0


async def test_progress_is_merged_for_a_slow_reader(queue: ScriptedQueue, waiting: Waiting) -> None:
    record = queue.set("a", JobState.RUNNING)
    async with aclosing(waiting.follow("a")) as updates:
        await anext(updates)
        for step in range(1, 100):
            waiting.dispatch(event(record, progress=step / 100))
        update = await anext(updates)
        assert update is not None
        assert update.hint is not None
        assert update.hint.progress == 0.99
        waiting.dispatch(event(queue.set("a", JobState.SUCCEEDED)))
        last = await anext(updates)
        assert last is not None
        assert (last.record.state, last.hint) == (JobState.SUCCEEDED, None)
        with pytest.raises(StopAsyncIteration):
            await anext(updates)


async def test_silence_is_broken_by_a_sign_of_life(queue: ScriptedQueue) -> None:
    waiting = waiting_on(queue, reread=0.02)
    queue.set("a", JobState.RUNNING)
    async with aclosing(waiting.follow("a")) as updates:
        assert await anext(updates) is not None
        assert await anext(updates) is None
        assert queue.reads >= 2  # the silence was used to look at the truth
    assert waiting.watched == 0


async def test_a_follower_is_told_its_leaders_progress(queue: ScriptedQueue, waiting: Waiting) -> None:
    leader = queue.set("leader", JobState.RUNNING)
    queue.set("a", JobState.FOLLOWING, leader="leader")
    async with aclosing(waiting.follow("a")) as updates:
        await anext(updates)
        waiting.dispatch(event(leader, progress=0.5))
        update = await anext(updates)
        assert update is not None
        assert update.hint is not None
        assert (update.record.id, update.hint.progress) == ("a", 0.5)
    assert waiting.watched == 0


async def test_a_follower_is_told_the_progress_of_the_heir(queue: ScriptedQueue, waiting: Waiting) -> None:
    queue.set("leader", JobState.QUEUED)
    queue.set("a", JobState.FOLLOWING, leader="leader")
    async with aclosing(waiting.follow("a")) as updates:
        await anext(updates)
        heir = queue.set("heir", JobState.QUEUED)
        queue.set("a", JobState.FOLLOWING, leader="heir")
        waiting.dispatch(event(queue.set("leader", JobState.CANCELLED)))
        await anext(updates)
        waiting.dispatch(event(heir, progress=0.5))
        async with asyncio.timeout(PATIENCE_SECONDS):
            update = await anext(updates)
        assert update is not None
        assert update.hint is not None
        assert (update.record.id, update.hint.progress) == ("a", 0.5)
    assert waiting.watched == 0


async def test_progress_is_remembered_for_those_who_poll(queue: ScriptedQueue, waiting: Waiting) -> None:
    record = queue.set("a", JobState.RUNNING)
    assert waiting.progress_of(record) is None
    waiting.dispatch(event(record, progress=0.5))
    assert waiting.progress_of(record) is not None
    ended = queue.set("a", JobState.SUCCEEDED)
    waiting.dispatch(event(ended))
    assert waiting.progress_of(ended) is None


async def test_what_is_remembered_is_bounded(queue: ScriptedQueue) -> None:
    waiting = waiting_on(queue)
    record = queue.set("a", JobState.RUNNING)
    waiting.dispatch(event(record, progress=0.1))
    for number in range(REMEMBERED):
        waiting.dispatch(JobEvent(job=f"other{number}", seq=1, state=JobState.RUNNING, progress=0.5))
    assert waiting.progress_of(record) is None


async def test_every_end_is_reported_once(queue: ScriptedQueue) -> None:
    ended: list[str] = []
    waiting = waiting_on(queue, ended=ended.append)
    waiting.dispatch(event(queue.set("a", JobState.RUNNING)))
    waiting.dispatch(event(queue.set("a", JobState.EXPIRED)))
    assert ended == ["a"]
