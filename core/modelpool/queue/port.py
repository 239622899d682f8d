"""The queue's port: what API, workers and operator may ask of it, whatever is behind.

Promise: at-least-once execution, at most one charge per job, every job reaches a final state, nothing is delivered by
a worker whose lease is gone. Every verb may be repeated when its reply was lost: enqueue is known by the job's id,
claim by its lease, the others by what they have changed. Implementations: :mod:`modelpool.queue.redis` (Lua on Redis or
Valkey) and :mod:`modelpool.queue.fake` (the model in plain Python, for tests).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from modelpool.jobs import JobError, JobEvent, JobRecord, JobRequest, JobResult, Lane, NewJob


class Outcome(StrEnum):
    """What became of an enqueue; the label ``outcome`` of ``modelpool_requests_total``."""

    QUEUED = "queued"
    CACHED = "cached"
    JOINED = "joined"
    """Follows an identical job in flight."""
    REPEATED = "repeated"
    """The idempotency key had already brought a job; that one is returned and nothing was charged."""


@dataclass(frozen=True, slots=True)
class Enqueued:
    """Answer of ``enqueue``: the record as it stands now (another job's, when repeated)."""

    record: JobRecord
    outcome: Outcome
    position: int | None = None
    """Jobs that will be started before this one, or None when it does not wait."""


@dataclass(frozen=True, slots=True)
class HotModel:
    """A model that the claiming worker holds, the most jobs it takes at once, and what one batch may cost.

    ``max_work`` is in expected GPU-seconds of the batch, summed over its jobs; None means no limit.
    """

    name: str
    cap: int
    max_work: float | None = None


@dataclass(frozen=True, slots=True)
class ClaimedJob:
    """One member of a batch."""

    id: str
    request: JobRequest
    lane: Lane
    work: float
    attempts: int
    solo: bool
    enqueued_at: int
    deadline: int
    trace: str | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Jobs that run together under one lease. All share a shape key, and a parameter key unless the engine mixes."""

    lease: str
    jobs: tuple[ClaimedJob, ...]
    claimed_at: int
    """Redis time in Unix milliseconds."""

    @property
    def model(self) -> str:
        """The model of every member."""
        return self.jobs[0].request.model


@dataclass(frozen=True, slots=True)
class Renewal:
    """Which members of a batch still belong to the lease, and which of those somebody has cancelled."""

    held: frozenset[str]
    lost: frozenset[str]
    cancelled: frozenset[str]


class FailureKind(StrEnum):
    """How a failed attempt counts."""

    RETRY = "retry"
    """In company: re-queued solo, no attempt counted. Solo: counted, failed at the third."""
    FINAL = "final"
    """An error that no retry can mend: failed at once, refunded."""


@dataclass(frozen=True, slots=True)
class ModelDepth:
    """What waits for one model."""

    queued: int = 0
    running: int = 0
    queued_work: float = 0.0
    """Expected GPU-seconds of the queued jobs."""
    oldest_enqueued_at: int | None = None
    """Of the jobs that stand first in their line: whoever waits behind them waits for fairness."""
    by_lane: Mapping[Lane, int] = field(default_factory=dict)


class Queue(Protocol):
    """One pool's queue. Every method raises :class:`modelpool.errors.QueueUnavailable` when Redis is away."""

    async def enqueue(self, job: NewJob) -> Enqueued:
        """Idempotency key, then cache, then an identical job in flight, then the queue; one atomic step.

        :raises IdempotencyConflict: the key came before with another fingerprint.
        """
        ...

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
        """The next batch for a worker that holds ``hot``: the head of line decides the key, paid lane first.

        ``lease`` names the lease beforehand: a claim whose reply was lost, made again under the same name, gets the
        same batch.
        """
        ...

    async def renew(self, lease: str, jobs: Sequence[str], lease_ms: int = 30_000) -> Renewal:
        """Keep the lease for another ``lease_ms``."""
        ...

    async def finish(self, lease: str, job: str, result: JobResult) -> bool:
        """Succeed, with followers and cache entry. False: the lease is gone (or the job cancelled); discard.

        The cache keeps the result under what it was made as (``result.made``), whatever the job asked for.
        """
        ...

    async def finish_all(self, lease: str, results: Mapping[str, JobResult]) -> frozenset[str]:
        """``finish`` for several members of a batch in one round trip. Returns those whose lease held."""
        ...

    async def fail(self, lease: str, job: str, error: JobError, kind: FailureKind = FailureKind.RETRY) -> bool:
        """End the attempt unhappily. False: the lease was gone. Of a long message the first 2,048 characters are kept."""
        ...

    async def release(self, lease: str, jobs: Sequence[str]) -> int:
        """Give jobs back unstarted or interrupted (drain): no attempt counted. Returns how many were held."""
        ...

    async def cancel(self, job: str, *, only_waiting: bool = False) -> JobRecord:
        """Cancel for the requester. With ``only_waiting`` a job that runs by now is left to run; the record tells.

        :raises JobNotFound: no such record.
        :raises JobIsFinal: it has ended otherwise; cancelling a cancelled job is no error.
        """
        ...

    async def reap(self) -> int:
        """Re-queue jobs of lapsed leases and expire overdue ones; any process, every 5 s. Returns how many moved."""
        ...

    async def get(self, job: str) -> JobRecord:
        """The record.

        :raises JobNotFound: no such record.
        """
        ...

    async def position(self, job: str) -> int | None:
        """How many jobs will start before this one; None when it is not waiting."""
        ...

    async def depths(self) -> dict[str, ModelDepth]:
        """What waits and runs, for every model that the queue has seen."""
        ...

    async def demand(self, minutes: int) -> dict[str, list[int]]:
        """Admitted and shed jobs per model in each of the last ``minutes`` whole minutes, oldest first."""
        ...

    async def shed(self, model: str) -> None:
        """Count a job that admission turned away: it is demand all the same."""
        ...

    async def publish(self, event: JobEvent) -> None:
        """Tell listeners how a running job gets on (progress, preview). State changes are told by the scripts."""
        ...

    def events(self, on_connect: Callable[[], None] | None = None) -> AsyncIterator[JobEvent]:
        """Every event of the pool from now on; ends never, reconnects by itself.

        ``on_connect`` is called each time the subscription stands: from then on nothing is missed, what was published
        between two calls may be.
        """
        ...

    def wakeups(self, audience: str, on_connect: Callable[[], None] | None = None) -> AsyncIterator[str]:
        """Bells for ``workers`` or ``operator``; each yields the model's name that the bell is about."""
        ...

    async def ring(self, audience: str, about: str = "") -> None:
        """Ring one bell by hand."""
        ...
