"""The queue without Redis: the model behind the port, for tests of whatever uses a queue. One process only."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import TypeVar

from modelpool.jobs import JobError, JobEvent, JobRecord, JobResult, NewJob
from modelpool.queue.job import Bell, Refund
from modelpool.queue.model import QueueModel
from modelpool.queue.port import Batch, Enqueued, FailureKind, HotModel, ModelDepth, Renewal
from modelpool.resources.pool import PoolRef

T = TypeVar("T")


class FakeQueue:
    """Implements :class:`modelpool.queue.port.Queue`. ``refunds`` collects what the real one appends to its stream."""

    def __init__(self, pool: PoolRef, *, now: Callable[[], int] | None = None) -> None:
        self.model = QueueModel(str(pool))
        self.refunds: list[Refund] = []
        self._now = now or (lambda: time.time_ns() // 1_000_000)
        self._listeners: dict[str, set[asyncio.Queue[JobEvent | str]]] = {}

    async def enqueue(self, job: NewJob) -> Enqueued:
        """Idempotency key, then cache, then an identical job in flight, then the queue."""
        return self._pass_on(self.model.enqueue(job, self._now()))

    async def claim(
        self,
        worker: str,
        slot: str,
        hot: Sequence[HotModel],
        *,
        mixes: bool = False,
        lease_ms: int = 30_000,
        lease: str | None = None,
    ) -> Batch | None:
        """The next batch for a worker that holds ``hot``."""
        lease = lease or f"{worker}:{secrets.token_hex(8)}"
        return self._pass_on(self.model.claim(lease, slot, hot, self._now(), mixes=mixes, lease_ms=lease_ms))

    async def renew(self, lease: str, jobs: Sequence[str], lease_ms: int = 30_000) -> Renewal:
        """Keep the lease for another ``lease_ms``."""
        return self.model.renew(lease, jobs, self._now(), lease_ms)

    async def finish(self, lease: str, job: str, result: JobResult) -> bool:
        """Succeed, with followers and cache entry. False: the lease is gone (or the job cancelled)."""
        return self._pass_on(self.model.finish(lease, job, result, self._now()))

    async def finish_all(self, lease: str, results: Mapping[str, JobResult]) -> frozenset[str]:
        """``finish`` for several members of a batch. Returns those whose lease held."""
        return frozenset([job for job, result in results.items() if await self.finish(lease, job, result)])

    async def fail(self, lease: str, job: str, error: JobError, kind: FailureKind = FailureKind.RETRY) -> bool:
        """End the attempt unhappily. False: the lease was gone."""
        return self._pass_on(self.model.fail(lease, job, error, self._now(), kind))

    async def release(self, lease: str, jobs: Sequence[str]) -> int:
        """Give jobs back: no attempt counted. Returns how many were held."""
        return self._pass_on(self.model.release(lease, jobs))

    async def cancel(self, job: str, *, only_waiting: bool = False) -> JobRecord:
        """Cancel for the requester. With ``only_waiting`` a job that runs by now is left to run; the record tells."""
        return self._pass_on(self.model.cancel(job, self._now(), only_waiting=only_waiting))

    async def reap(self) -> int:
        """Re-queue jobs of lapsed leases and expire overdue ones. Returns how many moved."""
        return self._pass_on(self.model.reap(self._now()))

    async def get(self, job: str) -> JobRecord:
        """The record."""
        return self.model.get(job)

    async def position(self, job: str) -> int | None:
        """How many jobs will start before this one; None when it is not waiting."""
        return self.model.position(job)

    async def depths(self) -> dict[str, ModelDepth]:
        """What waits and runs, for every model that the queue has seen."""
        return self.model.depths()

    async def demand(self, minutes: int) -> dict[str, list[int]]:
        """Admitted and shed jobs per model in each of the last whole minutes, oldest first."""
        return self.model.demand(minutes, self._now())

    async def shed(self, model: str) -> None:
        """Count a job that admission turned away."""
        self.model.shed(model, self._now())

    async def publish(self, event: JobEvent) -> None:
        """Tell listeners how a running job gets on."""
        self._send("events", event)

    async def events(self, on_connect: Callable[[], None] | None = None) -> AsyncIterator[JobEvent]:
        """Every event of the pool from now on."""
        async for item in self._listen("events", on_connect):
            if isinstance(item, JobEvent):
                yield item

    async def wakeups(self, audience: str, on_connect: Callable[[], None] | None = None) -> AsyncIterator[str]:
        """Bells for ``workers`` or ``operator``."""
        async for item in self._listen(audience, on_connect):
            if isinstance(item, str):
                yield item

    async def ring(self, audience: str, about: str = "") -> None:
        """Ring one bell by hand."""
        self._send(audience, about)

    def _pass_on(self, answer: T) -> T:
        """Hand out what the model had to tell."""
        told, self.model.told = self.model.told, []
        for entry in told:
            match entry:
                case Refund():
                    self.refunds.append(entry)
                case Bell(audience, model):
                    self._send(audience, model)
                case JobEvent():
                    self._send("events", entry)
        return answer

    def _send(self, channel: str, item: JobEvent | str) -> None:
        for listener in self._listeners.get(channel, ()):
            listener.put_nowait(item)

    async def _listen(self, channel: str, on_connect: Callable[[], None] | None) -> AsyncIterator[JobEvent | str]:
        inbox: asyncio.Queue[JobEvent | str] = asyncio.Queue()
        listeners = self._listeners.setdefault(channel, set())
        listeners.add(inbox)
        try:
            if on_connect is not None:
                on_connect()
            while True:
                yield await inbox.get()
        finally:
            listeners.discard(inbox)
