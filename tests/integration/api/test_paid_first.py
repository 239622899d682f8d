"""Paid is never behind free: under load, through the API, on a real Redis, with several workers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import httpx
import pytest

from modelpool.jobs import Lane
from modelpool.queue.port import Batch
from modelpool.tasks import end
from support import wait_until
from support.fake_worker import FakeWorker
from support.running_api import PAID_KEY, Api

FREE, PAID, WORKERS = 240, 60, 3
SIZES = (64, 128)
"""Of different shapes: they do not share a batch."""
ARRIVALS_A_BATCH = 8
"""A batch is of four jobs at most: the workers get through half of what comes in, however fast the machine is."""


@pytest.fixture
def redis_url(redis_url_any: str) -> str:
    """Order is the queue's own affair, which is tested on both kinds."""
    return redis_url_any


@dataclass
class Flood:
    """Who comes in, and what the workers are given, in Redis's own order."""

    api: Api
    batches: list[Batch] = field(default_factory=list)
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    at_once: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(50))
    arrived: int = 0
    done: int = 0

    async def work(self) -> None:
        """One worker."""
        worker = FakeWorker(self.api.queue, self.api.context.store, ("shapes",), patience=60)
        while True:
            await self.turns.acquire()
            batch = await worker.claim()
            self.batches.append(batch)
            await worker.finish(batch)
            self.done += len(batch.jobs)

    async def send(self, number: int, key: str | None) -> None:
        """One job, unlike any other."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        size = SIZES[number % len(SIZES)]
        body = {"model": "shapes", "prompt": f"{key} {number}", "seed": number, "width": size, "height": size}
        async with self.at_once:
            answer = await self.api.http.post("/v1/jobs", json=body, headers=headers)
        assert answer.status_code == httpx.codes.ACCEPTED, answer.text
        self.arrived += 1
        if self.arrived % ARRIVALS_A_BATCH == 0:
            self.turns.release()


async def test_no_free_job_is_begun_while_a_paid_one_waits(served: Api) -> None:
    flood = Flood(served)
    free = [None if number % 2 else "an-account-key-for-tests" for number in range(FREE)]
    workers = [asyncio.create_task(flood.work()) for _ in range(WORKERS)]
    try:
        # A free backlog first; then everybody at once, the paid among them, while workers claim.
        await asyncio.gather(*(flood.send(number, key) for number, key in enumerate(free[: FREE // 2])))
        rest = [flood.send(number, key) for number, key in enumerate(free[FREE // 2 :], FREE // 2)]
        paid = [flood.send(number, PAID_KEY) for number in range(PAID)]
        await asyncio.gather(*(one for three in zip(rest[::2], rest[1::2], paid, strict=True) for one in three))
        for _ in range(FREE + PAID):
            flood.turns.release()
        await wait_until(lambda: flood.done == FREE + PAID)
    finally:
        await end(*workers)

    begun = {job.id: batch.claimed_at for batch in flood.batches for job in batch.jobs}
    paid_jobs = [job for batch in flood.batches for job in batch.jobs if job.lane is Lane.PAID]
    free_only = [batch for batch in flood.batches if all(job.lane is not Lane.PAID for job in batch.jobs)]
    assert len(paid_jobs) == PAID
    overtaken = [
        (batch.jobs[0].id, job.id)
        for batch in free_only
        for job in paid_jobs
        if job.enqueued_at < batch.claimed_at < begun[job.id]
    ]
    assert overtaken == []
    # The load was one: the paid overtook a free backlog that stood until the last of them had begun.
    waits = {
        lane: sorted(
            begun[job.id] - job.enqueued_at for batch in flood.batches for job in batch.jobs if job.lane is lane
        )
        for lane in Lane
    }
    assert [len(waits[lane]) for lane in (Lane.PAID, Lane.ACCOUNT, Lane.ANONYMOUS)] == [PAID, FREE // 2, FREE // 2]
    for lane in (Lane.ACCOUNT, Lane.ANONYMOUS):
        assert waits[Lane.PAID][PAID // 2] < waits[lane][FREE // 4]
    last_paid = max(begun[job.id] for job in paid_jobs)
    assert sum(len(batch.jobs) for batch in free_only if batch.claimed_at > last_paid) > FREE // 4
