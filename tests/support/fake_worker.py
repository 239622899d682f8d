"""A worker that computes nothing: it claims from a real queue, and ends jobs as it is told."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from modelpool.jobs import CONTENT_TYPES, Durations, JobError, JobEvent, JobResult, JobState
from modelpool.queue.port import Batch, FailureKind, HotModel, Queue
from modelpool.store.port import Store
from modelpool.tasks import end
from support.waiting import wait_until

PICTURE = b"\x89PNG\r\n\x1a\n not really a picture"


class FakeWorker:
    """One slot that holds `models`. Drive it step by step, or let it `work()` by itself."""

    def __init__(self, queue: Queue, store: Store, models: tuple[str, ...], cap: int = 4, patience: float = 10) -> None:
        self.queue = queue
        self.store = store
        self.hot = [HotModel(model, cap) for model in models]
        self.finished = 0
        self.patience = patience
        """Seconds without work after which a test is thought to hang."""

    async def claim(self) -> Batch:
        """The next batch; waits until there is one."""
        batch = await wait_until(lambda: self.queue.claim("fake:1", "fake-0", self.hot), self.patience)
        assert batch is not None
        return batch

    async def report(self, batch: Batch, progress: float, preview: str | None = None) -> None:
        """Publish how far every member of the batch is."""
        for job in batch.jobs:
            await self.queue.publish(
                JobEvent(job=job.id, seq=0, state=JobState.RUNNING, progress=progress, step=1, steps=4, preview=preview)
            )

    async def finish(self, batch: Batch, data: bytes = PICTURE) -> None:
        """Store a file for every member and end it well."""
        for job in batch.jobs:
            self.finished += 1
            key = f"results/{secrets.token_urlsafe(16)}.{job.request.format}"
            await self.store.put(key, data)
            result = JobResult(
                key=key,
                content_type=CONTENT_TYPES[job.request.format],
                size=len(data),
                width=job.request.width,
                height=job.request.height,
                seed=job.request.seed,
                frames=job.request.frames,
                model=job.request.model,
                batch_size=len(batch.jobs),
                durations=Durations(waited=5, loaded=0, ran=100, computed=90),
            )
            assert await self.queue.finish(batch.lease, job.id, result)

    async def fail(self, batch: Batch, message: str = "it broke") -> None:
        """End every member for good, unhappily."""
        for job in batch.jobs:
            await self.queue.fail(
                batch.lease, job.id, JobError(code="engine_error", message=message), FailureKind.FINAL
            )

    async def run(self) -> None:
        """Claim and finish for ever."""
        while True:
            await self.finish(await self.claim())

    @asynccontextmanager
    async def work(self) -> AsyncIterator[None]:
        """Run while the block runs."""
        task = asyncio.create_task(self.run())
        try:
            yield
        finally:
            await end(task)
