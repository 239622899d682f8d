"""A job inside the plain Python queue, and what the queue tells besides events."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from modelpool.jobs import JobError, JobFailure, JobRecord, JobResult, JobState, NewJob
from modelpool.queue.port import ClaimedJob
from modelpool.queue.rules import LINES


@dataclass(slots=True, eq=False)
class Job:
    """A job inside the queue: what was asked, and how it stands."""

    asked: NewJob
    enqueued_at: int
    deadline: int
    line: str
    state: JobState = JobState.QUEUED
    ticket: int = 0
    """Number of arrival."""
    tag: float = 0.0
    """Virtual start time."""
    billed: bool = False
    """Has cost its user virtual time: at once when it is queued or lifts its leader, else on its promotion."""
    payer: str | None = None
    """Whose virtual time the tag is, where it is another user's: of who lifted it, or lent it a turn."""
    seq: int = 1
    attempts: int = 0
    solo: bool = False
    own_tag: float | None = None
    """Of a free job that a paid follower has lifted: where it goes back to when no paid one follows any more."""
    own_payer: str | None = None
    """And whose virtual time that is, where it is another user's."""
    mixable: bool = False
    """Came when workers here mixed parameters already."""
    due: float = math.inf
    """When somebody must look at it: the deadline, or the end of the lease."""
    lease: str = ""
    company: int = 0
    """Size of the batch that it was last claimed in."""
    slot: str | None = None
    started_at: int | None = None
    finished_at: int | None = None
    result: JobResult | None = None
    error: JobError | None = None
    failures: list[JobFailure] = field(default_factory=list)
    """Attempts that came to nothing, all but the last."""
    cached: bool = False

    @property
    def id(self) -> str:
        """Of the job."""
        return self.asked.id

    @property
    def model(self) -> str:
        """That it wants."""
        return self.asked.request.model

    @property
    def debtor(self) -> str:
        """The user by whose virtual time it waits."""
        return self.payer or self.asked.subject

    @property
    def rank(self) -> tuple[int, float, int]:
        """Its place among all jobs of both lines."""
        return LINES.index(self.line), self.tag, self.ticket

    def shares_with(self, other: Job, *, mixes: bool) -> bool:
        """Whether both may run in one forward pass: the same shape, and the same parameters unless the engine mixes."""
        mine, theirs = self.asked.request, other.asked.request
        if mine.shape_key() != theirs.shape_key():
            return False
        if mixes and other.mixable:
            return self.mixable
        return mine.parameter_key() == theirs.parameter_key()

    def record(self, pool: str, leader: Job | None) -> JobRecord:
        """As others see it."""
        asked = self.asked
        return JobRecord(
            id=asked.id,
            pool=pool,
            subject=asked.subject,
            lane=asked.lane,
            state=self.state,
            model=self.model,
            request=asked.request,
            work=asked.work,
            price=asked.price,
            charge_id=asked.charge_id,
            digest=asked.digest,
            seq=self.seq,
            attempts=self.attempts,
            solo=self.solo,
            leader=leader.id if leader else None,
            cached=self.cached,
            deadline=self.deadline,
            enqueued_at=self.enqueued_at,
            started_at=self.started_at,
            finished_at=self.finished_at,
            result=self.result,
            error=self.error,
            failures=tuple(self.failures),
            trace=asked.trace,
            slot=self.slot,
        )

    def claimed(self) -> ClaimedJob:
        """As its worker sees it."""
        return ClaimedJob(
            id=self.asked.id,
            request=self.asked.request,
            lane=self.asked.lane,
            work=self.asked.work,
            attempts=self.attempts,
            solo=self.solo,
            enqueued_at=self.enqueued_at,
            deadline=self.deadline,
            trace=self.asked.trace,
        )


@dataclass(frozen=True, slots=True)
class Refund:
    """Units to give back. ``day`` counts from 1970, in UTC, and is the day of the enqueue."""

    charge: str
    price: int
    day: int


@dataclass(frozen=True, slots=True)
class Bell:
    """A bell rung for the workers or the operator, and the model that it is about."""

    audience: str
    model: str
