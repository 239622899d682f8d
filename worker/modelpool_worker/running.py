"""One claimed batch from claim to end: its lease, and who of it is still wanted.

A job leaves the batch exactly once: delivered, failed, released, or because the queue says that it is lost or cancelled.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress

from modelpool.errors import ModelpoolError, QueueUnavailable, Unavailable, UnusableJob
from modelpool.jobs import JobError, JobResult
from modelpool.queue.port import Batch, ClaimedJob, FailureKind, Queue
from modelpool_worker.clock import Clock
from modelpool_worker.patience import delay_after, patiently

log = logging.getLogger(__name__)

LEASE_MS = 30_000
RENEW_SECONDS = 2.0
"""Well within a third of the lease: renewing is also how a worker hears that a job was cancelled."""
REPORT_FOR_SECONDS = 600.0
"""How long the end of a job is offered to a Redis that is away."""


class Run:
    """The batch, on the event loop; only :meth:`should_stop` belongs to the engine thread."""

    def __init__(self, batch: Batch, queue: Queue, clock: Clock) -> None:
        self.batch = batch
        self.claimed = clock.monotonic()
        self.clock_offset_ms = batch.claimed_at - clock.now_ms()
        """Queue's clock minus ours."""
        self.settled = asyncio.Event()
        """Every member has left."""
        self._queue = queue
        self._clock = clock
        self._open = {job.id: job for job in batch.jobs}
        self._abandoned = False

    @property
    def members(self) -> tuple[ClaimedJob, ...]:
        """Jobs still to be done, in claim order."""
        return tuple(self._open.values())

    def wants(self, job: ClaimedJob) -> bool:
        """Whether this member still belongs to us and to its requester."""
        return job.id in self._open

    def should_stop(self) -> bool:
        """Whether nobody wants any of it any more. Called by the engine thread."""
        return self._abandoned

    def abandon(self) -> None:
        """Stop computing at the next step."""
        self._abandoned = True

    async def keep_lease(self) -> None:
        """Renew until every member has left; members that are lost or cancelled leave."""
        failures = 0
        while self._open:
            await self._clock.sleep(RENEW_SECONDS if failures == 0 else min(RENEW_SECONDS, delay_after(failures)))
            ids = list(self._open)
            if not ids:
                return
            try:
                renewal = await self._queue.renew(self.batch.lease, ids, LEASE_MS)
            except QueueUnavailable:
                failures += 1
                continue
            except Exception:
                failures += 1
                log.exception("lease not renewed", extra={"failures": failures})
                continue
            failures = 0
            gone = renewal.lost | renewal.cancelled
            if gone:
                log.info("members left", extra={"lost": len(renewal.lost), "cancelled": len(renewal.cancelled)})
                self._leave(gone)

    async def finish(self, job: ClaimedJob, result: JobResult) -> bool:
        """Deliver one member. False: it was no longer ours, and what was stored must go.

        :raises Unavailable: Redis stayed away; nobody knows whether the job was delivered.
        """
        return await self._end(job, lambda: self._queue.finish(self.batch.lease, job.id, result))

    async def fail(self, job: ClaimedJob, error: ModelpoolError) -> None:
        """End the attempt of one member unhappily. It leaves even when that cannot be told: its lease lapses then."""
        try:
            kind = FailureKind.FINAL if isinstance(error, UnusableJob) else FailureKind.RETRY
            log.warning(
                "job failed", extra={"job": job.id, "code": error.code, "reason": error.message, "kind": kind.value}
            )
            report = JobError(code=error.code, message=error.message)
            with suppress(Unavailable):  # the job is tried elsewhere
                await self._end(job, lambda: self._queue.fail(self.batch.lease, job.id, report, kind))
        except Exception:
            log.exception("failure not told", extra={"job": job.id})
        finally:
            self._leave([job.id])

    async def fail_all(self, error: ModelpoolError) -> None:
        """End the attempt of everybody who is left."""
        for job in self.members:
            await self.fail(job, error)

    async def release(self) -> None:
        """Give back what is left; no attempt is counted. Without Redis the leases lapse by themselves."""
        ids = list(self._open)
        self._leave(ids)
        if ids:
            try:
                await self._queue.release(self.batch.lease, ids)
            except QueueUnavailable:
                log.warning("jobs not released: their leases will lapse", extra={"jobs": len(ids)})

    async def _end(self, job: ClaimedJob, call: Callable[[], Awaitable[bool]]) -> bool:
        if not self.wants(job):
            return False
        try:
            return await patiently(call, self._clock, REPORT_FOR_SECONDS)
        finally:
            self._leave([job.id])

    def _leave(self, ids: Iterable[str]) -> None:
        for job in ids:
            self._open.pop(job, None)
        if not self._open:
            self.abandon()
            self.settled.set()
