"""Looking through a pool's jobs, for people: whoever waits for one job reads its record instead."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from pydantic import ValidationError
from redis.asyncio import Redis

from modelpool.jobs import JobError, JobState, Lane
from modelpool.queue.connection import unavailable
from modelpool.queue.running import ScriptRunner
from modelpool.resources.pool import PoolRef

PAGE = 64
"""Records that one script reads, or about so many: it keeps all others waiting meanwhile."""
_FIELDS = 11


@dataclass(frozen=True, slots=True)
class JobSummary:
    """A job as a list shows it. Work in expected GPU-seconds, times in Unix milliseconds."""

    id: str
    pool: str
    state: JobState
    model: str
    lane: Lane
    subject: str
    work: float
    enqueued_at: int
    attempts: int
    slot: str | None
    finished_at: int | None
    error: JobError | None


class JobList:
    """All jobs of one pool whose records are kept, in no order. New ones may be missing, each is seen once."""

    def __init__(self, pool: PoolRef, client: Redis) -> None:
        self._pool = pool
        self._client = client
        self._run = ScriptRunner(pool, client)

    async def pages(self) -> AsyncIterator[list[JobSummary]]:
        """Jobs, some dozen at a time; Redis serves others in between.

        :raises QueueUnavailable: Redis is away.
        """
        start = len(self._pool.key("job", ""))
        seen: set[str] = set()
        cursor = 0
        while True:
            with unavailable():
                cursor, keys = await self._client.scan(cursor, match=self._pool.key("job", "*"), count=PAGE)
            ids = [id for key in keys if (id := str(key)[start:]) not in seen]
            seen.update(ids)
            if ids:
                yield self._read(await self._run("summaries", *ids))
            if not cursor:
                return

    def _read(self, answer: Sequence[str]) -> list[JobSummary]:
        jobs = []
        for i in range(0, len(answer), _FIELDS):
            with suppress(ValidationError):  # its error is none: the check tells of it
                jobs.append(self._summary(answer[i : i + _FIELDS]))
        return jobs

    def _summary(self, row: Sequence[str]) -> JobSummary:
        id, state, model, lane, subject, work, enqueued, attempts, slot, finished, error = row
        return JobSummary(
            id=id,
            pool=str(self._pool),
            state=JobState(state),
            model=model,
            lane=Lane(lane),
            subject=subject,
            work=float(work),
            enqueued_at=int(enqueued),
            attempts=int(attempts),
            slot=slot or None,
            finished_at=int(finished) if finished else None,
            error=JobError.model_validate_json(error) if error else None,
        )
