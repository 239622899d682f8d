"""What became of the jobs that this process let in: time to result, and the pace that estimates learn from."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict

from modelpool.errors import JobNotFound, ModelpoolError
from modelpool.jobs import JobRecord, JobState
from modelpool.metrics import ApiMetrics
from modelpool_api.pools import Pool

log = logging.getLogger(__name__)

REMEMBERED = 100_000


class Outcomes:
    """Reads the record of each own job once, when it has ended. Others' jobs are counted by the process that let them in."""

    def __init__(self, metrics: ApiMetrics) -> None:
        self._metrics = metrics
        self._own: OrderedDict[str, None] = OrderedDict()
        self._ended: asyncio.Queue[tuple[Pool, str]] = asyncio.Queue()

    def expect(self, job: str) -> None:
        """Remember a job before it is enqueued: it may end before the answer is here."""
        self._own[job] = None
        if len(self._own) > REMEMBERED:
            self._own.popitem(last=False)

    def forget(self, job: str) -> None:
        """It does not come to be: an equal request's job is there instead, or the queue has not taken it."""
        self._own.pop(job, None)

    @property
    def expected(self) -> int:
        """How many jobs have been let in and have not ended, as far as is remembered."""
        return len(self._own)

    def admitted(self, record: JobRecord) -> None:
        """Count a job that ended with its enqueue: no event will tell of it in time."""
        if record.state.is_final and self._own.pop(record.id, "absent") is None:
            self._observe(record)

    def ended(self, pool: Pool, job: str) -> None:
        """Called for every job of the pool that ends."""
        if job in self._own:
            del self._own[job]
            self._ended.put_nowait((pool, job))

    async def run(self) -> None:
        """Observe for ever."""
        while True:
            pool, job = await self._ended.get()
            try:
                await self._count(pool, job)
            except JobNotFound:
                continue
            except ModelpoolError as error:
                log.debug("an ended job goes uncounted: %s", error)
            except Exception:
                log.exception("an ended job goes uncounted", extra={"job": job})

    async def _count(self, pool: Pool, job: str) -> None:
        record = await pool.queue.get(job)
        self._observe(record)
        if record.result is not None and not record.cached and record.leader is None:
            ran = record.result.durations.ran / 1000
            pool.learn(record.model, ran, record.result.batch_size, record.work)

    def _observe(self, record: JobRecord) -> None:
        if record.state is not JobState.SUCCEEDED or record.finished_at is None:
            return
        loaded = record.result is not None and not record.cached and record.result.durations.loaded > 0
        self._metrics.time_to_result.labels(
            record.pool, record.model, record.lane.value, "true" if loaded else "false"
        ).observe(max(0, record.finished_at - record.enqueued_at) / 1000)
