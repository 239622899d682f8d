"""The queue's rules in plain Python: pure, synchronous, the time passed in. What this says, Redis does.

Who stands where is in :mod:`modelpool.queue.lines`, who follows whom in :mod:`modelpool.queue.flights`; here is what
becomes of a job between enqueue and its end. Records never age here, while in Redis all has a life; lists that Redis works
off in chunks are done at once.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from modelpool.errors import IdempotencyConflict, JobIsFinal, JobNotFound
from modelpool.jobs import MAX_ATTEMPTS, JobError, JobEvent, JobFailure, JobRecord, JobResult, JobState, NewJob
from modelpool.queue.flights import Flights
from modelpool.queue.job import Bell, Job, Refund
from modelpool.queue.lines import Lines
from modelpool.queue.port import Batch, Enqueued, FailureKind, HotModel, ModelDepth, Outcome, Renewal
from modelpool.queue.rules import CACHE_MS, DAY_MS, EXPIRED, WORKER_LOST, kept, line_of


class QueueModel:
    """One pool's queue. What it had to tell lies in ``told`` until somebody empties it."""

    def __init__(self, pool: str) -> None:
        self.told: list[JobEvent | Bell | Refund] = []
        self._pool = pool
        self._jobs: dict[str, Job] = {}
        self._lines = Lines()
        self._flights = Flights(self._lines)
        self._claims: dict[str, list[Job]] = {}
        """By lease."""
        self._cache: dict[str, tuple[JobResult, int]] = {}
        """By digest: a result, and until when it is good."""
        self._idempotency: dict[str, tuple[str, str | None]] = {}
        self._demand: Counter[tuple[str, int]] = Counter()
        self._models: set[str] = set()
        self._tickets = 0

    # --- those who ask -----------------------------------------------------------------------------------------------

    def enqueue(self, asked: NewJob, now: int) -> Enqueued:
        """Idempotency key, then cache, then an identical job in flight, then the queue."""
        if asked.id in self._jobs:  # our own reply was lost
            return self._repeated(self._jobs[asked.id], asked)
        if asked.idempotency_key is not None:
            if asked.idempotency_key in self._idempotency:
                first, fingerprint = self._idempotency[asked.idempotency_key]
                if fingerprint != asked.fingerprint:
                    raise IdempotencyConflict("This Idempotency-Key was used with another request.")
                return self._repeated(self._jobs[first], asked)
            self._idempotency[asked.idempotency_key] = asked.id, asked.fingerprint

        job = Job(asked, now, now + asked.deadline_ms, line_of(asked.lane))
        self._jobs[job.id] = job
        if asked.use_cache and (result := self._cached(asked.digest, now)):
            job.state, job.cached, job.result, job.finished_at = JobState.SUCCEEDED, True, result, now
            self._tell(job)
            return self._answer(job, Outcome.CACHED)

        self._tickets += 1
        job.ticket, job.due, job.mixable = self._tickets, job.deadline, self._lines.mixing
        job.tag = self._lines.start(job.line, job.model, asked.subject)
        leader = self._flights.leader(job)
        if asked.use_cache and leader is not None:
            job.state = JobState.FOLLOWING
            lifted = self._flights.join(leader, job) and self._lift(leader, job)
            self._tell(job)
            if lifted:
                self._ring_workers(leader)
            return self._answer(job, Outcome.JOINED)
        self._flights.lead(job)
        self._lines.bill(job)
        self._enter(job)
        self._tell(job)
        self._ring_workers(job)
        self._models.add(job.model)
        self.shed(job.model, now)
        self.told.append(Bell("operator", job.model))
        return self._answer(job, Outcome.QUEUED)

    def _cached(self, digest: str, now: int) -> JobResult | None:
        result, until = self._cache.get(digest, (None, 0))
        return result if now < until else None

    def _repeated(self, job: Job, asked: NewJob) -> Enqueued:
        outcome = Outcome.REPEATED
        if job.id == asked.id:
            following = job.state is JobState.FOLLOWING
            outcome = Outcome.CACHED if job.cached else Outcome.JOINED if following else Outcome.QUEUED
        return self._answer(job, outcome)

    def _answer(self, job: Job, outcome: Outcome) -> Enqueued:
        return Enqueued(self.get(job.id), outcome, self.position(job.id))

    def _lift(self, leader: Job, follower: Job) -> bool:
        """Returns whether it stands in line elsewhere now."""
        self._lines.move(leader, follower.line, follower.tag)
        self._changed(leader)
        return leader.state is JobState.QUEUED

    def cancel(self, job_id: str, now: int, *, only_waiting: bool = False) -> JobRecord:
        """Cancel for the requester. A waiting job is refunded, a running one is not, and left if so asked."""
        job = self.job(job_id)
        if only_waiting and job.state is JobState.RUNNING:
            return self.get(job_id)
        if not job.state.is_final:
            self._conclude(job, JobState.CANCELLED, now)
        if job.state is not JobState.CANCELLED:
            raise JobIsFinal(f"Job {job_id} has already {job.state}.")
        return self.get(job_id)

    # --- those who work ----------------------------------------------------------------------------------------------

    def claim(
        self, lease: str, slot: str, hot: Sequence[HotModel], now: int, *, mixes: bool = False, lease_ms: int = 30_000
    ) -> Batch | None:
        """The next batch. The same lease again, the reply having been lost: the same batch."""
        batch = [job for job in self._claims.get(lease, []) if job.lease == lease and job.state is JobState.RUNNING]
        if lease not in self._claims:
            self.reap(now)
            batch = self._lines.next_batch(hot, mixes=mixes)
            for job in batch:
                self._lines.leave(job)
                job.state, job.lease, job.slot, job.started_at = JobState.RUNNING, lease, slot, now
                job.company, job.due = len(batch), min(now + lease_ms, job.deadline)
                self._changed(job)
            if batch:
                self._claims[lease] = batch
        return Batch(lease, tuple(job.claimed() for job in batch), now) if batch else None

    def renew(self, lease: str, jobs: Sequence[str], now: int, lease_ms: int = 30_000) -> Renewal:
        """Keep the lease."""
        mine = {id: self._jobs[id].state for id in jobs if id in self._jobs and self._jobs[id].lease == lease}
        held = frozenset(id for id, state in mine.items() if state is JobState.RUNNING)
        cancelled = frozenset(id for id, state in mine.items() if state is JobState.CANCELLED)
        for id in held:
            self._jobs[id].due = min(now + lease_ms, self._jobs[id].deadline)
        return Renewal(held=held, lost=frozenset(jobs) - held - cancelled, cancelled=cancelled)

    def finish(self, lease: str, job_id: str, result: JobResult, now: int) -> bool:
        """Succeed, with followers and cache entry. A repetition is answered alike."""
        job = self._jobs.get(job_id)
        if job is None or job.lease != lease:
            return False
        if job.state is JobState.RUNNING:
            job.result = result.model_copy(update={"made": None})
            self._cache[result.made or job.asked.digest] = job.result, now + CACHE_MS
            self._conclude(job, JobState.SUCCEEDED, now)
        return job.state is JobState.SUCCEEDED

    def fail(self, lease: str, job_id: str, error: JobError, now: int, kind: FailureKind = FailureKind.RETRY) -> bool:
        """End an attempt unhappily."""
        job = self._held(lease, job_id)
        if job is None:
            return False
        if kind is FailureKind.FINAL:
            self._conclude(job, JobState.FAILED, now, kept(error))
        else:
            self._retry(job, now, kept(error))
        return True

    def release(self, lease: str, jobs: Sequence[str]) -> int:
        """Give jobs back: no attempt counted, solo or not as before."""
        held = [job for id in jobs if (job := self._held(lease, id))]
        for job in held:
            self._requeue(job)
        return len(held)

    def reap(self, now: int) -> int:
        """Look after lapsed leases and passed deadlines, the longest overdue first. Returns how many jobs moved."""
        moved = 0
        for job in sorted((job for job in self._jobs.values() if job.due <= now), key=lambda job: (job.due, job.id)):
            if job.state.is_final:  # it ended with its leader a moment ago
                continue
            moved += 1
            if job.deadline <= now:
                self._conclude(job, JobState.EXPIRED, now, EXPIRED)
            else:
                self._retry(job, now, WORKER_LOST)
        return moved

    # --- what becomes of a job ---------------------------------------------------------------------------------------

    def _retry(self, job: Job, now: int, error: JobError) -> None:
        """In company it may have been anybody's fault: alone next time, nothing counted. Only failures alone count."""
        if job.company == 1:
            job.attempts += 1
        if job.attempts >= MAX_ATTEMPTS:
            self._conclude(job, JobState.FAILED, now, error)
        else:
            job.solo = True
            job.failures.append(JobFailure(at=now, slot=job.slot, error=error))
            self._requeue(job)

    def _requeue(self, job: Job) -> None:
        """Back to its place in the line."""
        job.lease, job.slot, job.started_at = "", None, None
        self._stand(job)

    def _conclude(self, job: Job, state: JobState, now: int, error: JobError | None = None) -> None:
        """End a job for good. Succeeded and failed are true of every identical job, so followers end alike; a cancelled
        or expired leader only hands over."""
        was, job.state, job.finished_at, job.error, job.due = job.state, state, now, error, math.inf
        leader = self._flights.leader(job)
        begun = was is JobState.RUNNING
        if was is JobState.QUEUED:
            self._lines.leave(job)
        elif was is JobState.FOLLOWING and leader is not None:
            # Who has moved ahead what runs by now has had it run: else whoever pays could have others' jobs run first, for nothing.
            if state is JobState.CANCELLED and job.billed and leader.state is JobState.RUNNING:
                begun, job.started_at = True, leader.started_at
            own_tag = self._flights.part(leader, job)
            if own_tag is not None:
                self._lines.move(leader, line_of(leader.asked.lane), own_tag)
                self._changed(leader)
        self._changed(job)
        if state in (JobState.FAILED, JobState.EXPIRED) or (state is JobState.CANCELLED and not begun):
            self._refund(job)
        if leader is not job:
            return
        followers = self._flights.land(job)
        if state in (JobState.SUCCEEDED, JobState.FAILED):
            for follower in followers:
                follower.result = job.result
                self._conclude(follower, state, now, error)
        elif followers:
            self._flights.promote(*followers)
            self._stand(followers[0])

    def _stand(self, job: Job) -> None:
        """It waits in line, again or for the first time."""
        job.state = JobState.QUEUED
        self._enter(job)
        self._changed(job)
        self._ring_workers(job)

    def _enter(self, job: Job) -> None:
        job.due = job.deadline
        self._lines.enter(job)

    def _ring_workers(self, job: Job) -> None:
        self.told.append(Bell("workers", job.model))

    def _refund(self, job: Job) -> None:
        if job.asked.charge_id is not None:
            self.told.append(Refund(job.asked.charge_id, job.asked.price, job.enqueued_at // DAY_MS))

    def _changed(self, job: Job) -> None:
        job.seq += 1
        self._tell(job)

    def _tell(self, job: Job) -> None:
        self.told.append(JobEvent(job=job.id, seq=job.seq, state=job.state, position=self.position(job.id)))

    # --- those who look ----------------------------------------------------------------------------------------------

    def get(self, job_id: str) -> JobRecord:
        """The record."""
        job = self.job(job_id)
        leader = self._flights.leader(job) if job.state is JobState.FOLLOWING else None
        return job.record(self._pool, leader)

    def position(self, job_id: str) -> int | None:
        """How many jobs start before this one; a follower stands where its leader does."""
        job = self._jobs.get(job_id)
        if job is not None and job.state is JobState.FOLLOWING:
            job = self._flights.leader(job)
        return self._lines.ahead(job) if job is not None and job.state is JobState.QUEUED else None

    def depths(self) -> dict[str, ModelDepth]:
        """What waits and runs for every model seen."""
        running = Counter(job.model for job in self._jobs.values() if job.state is JobState.RUNNING)
        return {model: self._lines.depth(model, running[model]) for model in self._models}

    def demand(self, minutes: int, now: int) -> dict[str, list[int]]:
        """Jobs admitted and shed per model in each of the last whole minutes, oldest first."""
        span = range(now // 60_000 - minutes, now // 60_000)
        models = {model for model, minute in self._demand if minute in span}
        return {model: [self._demand[model, minute] for minute in span] for model in sorted(models)}

    def shed(self, model: str, now: int) -> None:
        """Count a job that admission turned away: one that is asked for is demand whether admitted or not."""
        self._demand[model, now // 60_000] += 1

    def reached(self, line: str) -> float:
        """How far the heads of a line have come in virtual time; for those who look closely."""
        return self._lines.reached(line)

    def job(self, job_id: str) -> Job:
        """How a job stands; for those who look closely."""
        if job_id not in self._jobs:
            raise JobNotFound(f"There is no job {job_id}.", param="id")
        return self._jobs[job_id]

    def _held(self, lease: str, job_id: str) -> Job | None:
        job = self._jobs.get(job_id)
        return job if job is not None and job.lease == lease and job.state is JobState.RUNNING else None
