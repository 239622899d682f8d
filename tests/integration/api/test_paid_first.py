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


@pytest.fixture
def redis_url(redis_url_any: str) -> str:
    """Order is the queue's own affair, which is tested on both kinds."""
    return redis_url_any


@dataclass
class Claims:
    """What the workers were given, in Redis's own order."""

    api: Api
    batches: list[Batch] = field(default_factory=list)
    done: int = 0

    async def work(self) -> None:
        """One worker: takes what it is given, and takes its time."""
        worker = FakeWorker(self.api.queue, self.api.context.store, ("shapes",), patience=60)
        while True:
            batch = await worker.claim()
            self.batches.append(batch)
            await asyncio.sleep(0.005)
            await worker.finish(batch)
            self.done += len(batch.jobs)


async def send(api: Api, number: int, key: str | None) -> None:
    """One job, unlike any other."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    size = SIZES[number % len(SIZES)]
    body = {"model": "shapes", "prompt": f"{key} {number}", "seed": number, "width": size, "height": size}
    answer = await api.http.post("/v1/jobs", json=body, headers=headers)
    assert answer.status_code == httpx.codes.ACCEPTED, answer.text


async def test_no_free_job_is_begun_while_a_paid_one_waits(served: Api) -> None:
    api, claims = served, Claims(served)
    free = [None if number % 2 else "an-account-key-for-tests" for number in range(FREE)]
    # A free backlog first; then everybody at once, the paid among them, while workers claim.
    await asyncio.gather(*(send(api, number, key) for number, key in enumerate(free[: FREE // 2])))
    workers = [asyncio.create_task(claims.work()) for _ in range(WORKERS)]
    try:
        rest = [send(api, number, key) for number, key in enumerate(free[FREE // 2 :], FREE // 2)]
        paid = [send(api, number, PAID_KEY) for number in range(PAID)]
        mixed = [one for pair in zip(rest[::2], rest[1::2], paid, strict=True) for one in pair]
        await asyncio.gather(*mixed)
        await wait_until(lambda: claims.done == FREE + PAID, timeout=60)
    finally:
        await end(*workers)

    begun = {job.id: batch.claimed_at for batch in claims.batches for job in batch.jobs}
    paid_jobs = [job for batch in claims.batches for job in batch.jobs if job.lane is Lane.PAID]
    free_only = [batch for batch in claims.batches if all(job.lane is not Lane.PAID for job in batch.jobs)]
    assert len(paid_jobs) == PAID
    overtaken = [
        (batch.jobs[0].id, job.id)
        for batch in free_only
        for job in paid_jobs
        if job.enqueued_at < batch.claimed_at < begun[job.id]
    ]
    assert overtaken == []
    # The load was one: the paid came while a free backlog stood, and overtook it.
    waited = {
        lane: [begun[job.id] - job.enqueued_at for batch in claims.batches for job in batch.jobs if job.lane is lane]
        for lane in Lane
    }
    free_waits = sorted(waited[Lane.ANONYMOUS] + waited[Lane.ACCOUNT])
    assert len(free_waits) == FREE
    assert sorted(waited[Lane.PAID])[PAID // 2] < free_waits[FREE // 2] / 2
    last_paid = max(begun[job.id] for job in paid_jobs)
    assert sum(batch.claimed_at > last_paid for batch in free_only) > 0
