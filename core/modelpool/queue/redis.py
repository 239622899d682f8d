"""The queue in Redis: every verb is one Lua script and one round trip, and may be repeated without harm."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, suppress

from pydantic import ValidationError
from redis.asyncio import Redis

from modelpool.errors import IdempotencyConflict, JobIsFinal, JobNotFound
from modelpool.jobs import JobError, JobEvent, JobRecord, JobResult, JobState, NewJob
from modelpool.queue.connection import unavailable
from modelpool.queue.events import listen
from modelpool.queue.port import Batch, Enqueued, FailureKind, HotModel, ModelDepth, Outcome, Renewal
from modelpool.queue.records import (
    fields_of,
    new_record,
    pairs,
    read_batch,
    read_depth,
    read_record,
    short_hash,
    short_keys,
)
from modelpool.queue.rules import kept
from modelpool.queue.running import ScriptRunner
from modelpool.resources.pool import PoolRef


class RedisQueue:
    """One pool's queue on one Redis. Implements :class:`modelpool.queue.port.Queue`.

    ``now`` replaces Redis's own clock, in tests only. The client stays the caller's to close.
    """

    def __init__(self, pool: PoolRef, client: Redis, *, now: Callable[[], int] | None = None) -> None:
        self._pool = pool
        self._name = str(pool)
        self.client = client
        self._run = ScriptRunner(pool, client, now)

    async def enqueue(self, job: NewJob) -> Enqueued:
        """Idempotency key, then cache, then an identical job in flight, then the queue; one atomic step."""
        shape, key = short_keys(job.request)
        outcome, owner, *rest = await self._run.together(
            "enqueue",
            job.id,
            short_hash(job.idempotency_key) if job.idempotency_key is not None else "",
            job.fingerprint or "",
            int(job.use_cache),
            job.deadline_ms,
            shape,
            *fields_of(job, key),
        )
        pool = self._name
        match outcome:
            case "queued":
                now, position = rest
                return Enqueued(new_record(job, pool, now, JobState.QUEUED), Outcome.QUEUED, position)
            case "joined":
                now, position, leader = rest
                record = new_record(job, pool, now, JobState.FOLLOWING, leader=leader)
                return Enqueued(record, Outcome.JOINED, position)
            case "cached":
                now, result = rest
                record = new_record(job, pool, now, JobState.SUCCEEDED, result=JobResult.model_validate_json(result))
                return Enqueued(record, Outcome.CACHED)
            case "conflict":
                raise IdempotencyConflict(
                    "This Idempotency-Key was used with another request: send a new key with a new request.",
                    param="Idempotency-Key",
                )
            case _:
                record = await self.get(owner)
                outcome = Outcome.REPEATED if owner != job.id else _outcome_of(record)
                return Enqueued(record, outcome, await self.position(owner))

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
        same batch. A member whose request cannot be read any more is put aside here; the others do not wait for it.
        """
        models: list[str | int] = []
        for model in hot:
            models += [model.name, model.cap, "" if model.max_work is None else format(model.max_work, ".17g")]
        while True:
            name = lease or f"{worker}:{secrets.token_hex(8)}"
            answer = await self._run("claim", name, slot, lease_ms, int(mixes), *models)
            if not answer:
                return None
            if answer == "reap":
                await self.reap()
                continue
            batch, unreadable = read_batch(name, answer)
            for job in unreadable:
                await self._run("fail", name, job, "", "unreadable")
            if batch.jobs:
                return batch

    async def renew(self, lease: str, jobs: Sequence[str], lease_ms: int = 30_000) -> Renewal:
        """Keep the lease for another ``lease_ms``."""
        words = await self._run("renew", lease, lease_ms, *jobs)
        told: dict[str, set[str]] = {"held": set(), "lost": set(), "cancelled": set()}
        for job, word in zip(jobs, words, strict=True):
            told[word].add(job)
        return Renewal(**{word: frozenset(ids) for word, ids in told.items()})

    async def finish(self, lease: str, job: str, result: JobResult) -> bool:
        """Succeed, with followers and cache entry. False: the lease is gone (or the job cancelled); discard."""
        return job in await self.finish_all(lease, {job: result})

    async def finish_all(self, lease: str, results: Mapping[str, JobResult]) -> frozenset[str]:
        """Finish several members of a batch in one round trip. Returns those whose lease held."""
        args = [arg for job, result in results.items() for arg in (job, result.to_json(), result.made or "")]
        answers = await self._run("finish", lease, *args)
        return frozenset(job for job, held in zip(results, answers, strict=True) if held)

    async def fail(self, lease: str, job: str, error: JobError, kind: FailureKind = FailureKind.RETRY) -> bool:
        """End the attempt unhappily. False: the lease was gone."""
        return bool(await self._run("fail", lease, job, kept(error).to_json(), kind.value))

    async def release(self, lease: str, jobs: Sequence[str]) -> int:
        """Give jobs back unstarted or interrupted (drain): no attempt counted. Returns how many were held."""
        return int(await self._run("release", lease, *jobs))

    async def cancel(self, job: str, *, only_waiting: bool = False) -> JobRecord:
        """Cancel for the requester. With ``only_waiting`` a job that runs by now is left to run; the record tells."""
        done = await self._run("cancel", job, int(only_waiting))
        record = await self.get(job)  # if it cannot be read, this says why
        if done is None:
            raise _not_found(job)
        if not done:
            raise JobIsFinal(f"Job {job} has already {record.state}: it can no longer be cancelled.")
        return record

    async def reap(self) -> int:
        """Re-queue jobs of lapsed leases and expire overdue ones; any process, every 5 s. Returns how many moved."""
        moved, more = 0, 1
        while more:
            chunk, more = await self._run("reap")
            moved += chunk
        return moved

    async def get(self, job: str) -> JobRecord:
        """The record."""
        answer = await self._run("get", job)
        if answer is None:
            raise _not_found(job)
        with suppress(ValueError):
            if answer != 0:
                leader, *flat = answer
                return read_record(job, self._name, leader, flat)
        raise JobNotFound(
            f"The record of job {job} is damaged: some of it is missing. `modelpool queue check --repair` puts it aside.",
            param="id",
        )

    async def position(self, job: str) -> int | None:
        """How many jobs will start before this one; None when it is not waiting."""
        answer = await self._run("position", job)
        return None if answer is None else int(answer)

    async def depths(self) -> dict[str, ModelDepth]:
        """What waits and runs, for every model that the queue has seen."""
        return dict(map(read_depth, await self._run("depths")))

    async def demand(self, minutes: int) -> dict[str, list[int]]:
        """Admitted and shed jobs per model in each of the last ``minutes`` whole minutes, oldest first."""
        counts = [dict(pairs(row)) for row in await self._run("demand", minutes)]
        models = {model for count in counts for model in count}
        return {model: [int(count.get(model, 0)) for count in counts] for model in sorted(models)}

    async def shed(self, model: str) -> None:
        """Count a job that admission turned away: it is demand all the same."""
        await self._run("shed", model)

    async def publish(self, event: JobEvent) -> None:
        """Tell listeners how a running job gets on (progress, preview). State changes are told by the scripts."""
        with unavailable():
            await self.client.publish(self._pool.key("events"), event.to_json())

    async def events(self, on_connect: Callable[[], None] | None = None) -> AsyncIterator[JobEvent]:
        """Every event of the pool from now on; ends never, reconnects by itself (hints may be missing meanwhile)."""
        async with aclosing(listen(self.client, self._pool.key("events"), on_connect)) as messages:
            async for message in messages:
                try:
                    event = JobEvent.model_validate_json(message)
                except ValidationError:
                    continue  # of a newer version; the record is the truth
                yield event

    async def wakeups(self, audience: str, on_connect: Callable[[], None] | None = None) -> AsyncIterator[str]:
        """Bells for ``workers`` or ``operator``; each yields the model's name that the bell is about."""
        async with aclosing(listen(self.client, self._pool.key("wake", audience), on_connect)) as messages:
            async for message in messages:
                yield message

    async def ring(self, audience: str, about: str = "") -> None:
        """Ring one bell by hand."""
        with unavailable():
            await self.client.publish(self._pool.key("wake", audience), about)


def _outcome_of(record: JobRecord) -> Outcome:
    """What our own enqueue had come to before its reply was lost."""
    if record.cached:
        return Outcome.CACHED
    return Outcome.JOINED if record.state is JobState.FOLLOWING else Outcome.QUEUED


def _not_found(job: str) -> JobNotFound:
    return JobNotFound(f"There is no job {job}: it never existed, or its record has expired.", param="id")
