"""Waiting for jobs: one event subscription per pool and process, fanned out to everybody who waits.

The job record is the truth, events are hints. A waiter therefore subscribes first, then reads the record, and reads it
again after a gap, after a reconnect and whenever it has been quiet for too long. Hints are merged, never queued: a slow
reader costs no memory and sees the latest state.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from modelpool.jobs import JobEvent, JobRecord, JobState
from modelpool.queue.port import Queue

REMEMBERED = 4_096
"""Running jobs whose latest progress is kept for those who ask without listening."""


@dataclass(frozen=True, slots=True)
class Update:
    """What one who listens is told: the record, and how a running attempt gets on."""

    record: JobRecord
    hint: JobEvent | None = None
    position: int | None = None


class Watch:
    """The latest hints about one job since they were last taken."""

    def __init__(self) -> None:
        self._bell = asyncio.Event()
        self.changed = False
        """The record may have changed: read it."""
        self.progress: JobEvent | None = None

    def ring(self, progress: JobEvent | None = None) -> None:
        """Leave a hint."""
        if progress is None:
            self.changed = True
        else:
            self.progress = progress
        self._bell.set()

    async def wait(self, seconds: float) -> bool:
        """Until there is a hint, which gives True, or the time is over."""
        try:
            async with asyncio.timeout(seconds):
                await self._bell.wait()
        except TimeoutError:
            return False
        self._bell.clear()
        return True

    def take(self) -> tuple[bool, JobEvent | None]:
        """The hints, and forget them."""
        taken = (self.changed, self.progress)
        self.changed, self.progress = False, None
        return taken


class Waiting:
    """One pool's waiters."""

    def __init__(
        self,
        queue: Queue,
        *,
        reread_seconds: float = 15.0,
        monotonic: Callable[[], float] = time.monotonic,
        on_final: Callable[[str], None] | None = None,
    ) -> None:
        self._queue = queue
        self._reread = reread_seconds
        self._monotonic = monotonic
        self._on_final = on_final
        self._watches: dict[str, set[Watch]] = {}
        self._progress: OrderedDict[str, JobEvent] = OrderedDict()
        self._starts = 0
        self.listening = asyncio.Event()
        """Set once the subscription has stood."""

    # --- the pool's events ----------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Listen for ever; the task that runs this is cancelled when the pool or the process goes."""
        events = self._queue.events(self._connected)
        try:
            async for event in events:
                self.dispatch(event)
        finally:
            if isinstance(events, AsyncGenerator):
                await events.aclose()  # left to the collector, the subscription would outlive its connection's pool

    def _connected(self) -> None:
        """What was said while nobody listened is lost: let everybody read again."""
        self.listening.set()
        self._progress.clear()
        for watches in self._watches.values():
            for watch in watches:
                watch.ring()

    def dispatch(self, event: JobEvent) -> None:
        """Pass one event on."""
        is_progress = event.progress is not None or event.preview is not None
        if is_progress:
            self._progress[event.job] = event
            self._progress.move_to_end(event.job)
            if len(self._progress) > REMEMBERED:
                self._progress.popitem(last=False)
        else:
            self._progress.pop(event.job, None)
            if event.state is not JobState.QUEUED:
                self._starts += 1
            if event.state.is_final and self._on_final is not None:
                self._on_final(event.job)
        for watch in self._watches.get(event.job, ()):
            watch.ring(event if is_progress else None)

    # --- waiters --------------------------------------------------------------------------------------------------

    @contextmanager
    def watch(self, *jobs: str) -> Iterator[Watch]:
        """Hints about ``jobs`` while the block runs."""
        watch = Watch()
        for job in jobs:
            self._watches.setdefault(job, set()).add(watch)
        try:
            yield watch
        finally:
            for job in jobs:
                self._watches[job].discard(watch)
                if not self._watches[job]:
                    del self._watches[job]

    @property
    def watched(self) -> int:
        """How many jobs somebody waits for."""
        return len(self._watches)

    def progress_of(self, record: JobRecord) -> JobEvent | None:
        """How a running job gets on, as far as this process has heard; a follower is as far as its leader."""
        if record.state.is_final:
            return None
        return self._progress.get(record.leader or record.id)

    async def final(self, job: str, seconds: float, closing: asyncio.Event | None = None) -> JobRecord:
        """The record as soon as the job has ended, or as it stands after ``seconds``.

        :raises JobNotFound: no such record.
        """
        with self.watch(job) as watch:
            return await self.final_of(watch, await self._queue.get(job), seconds, closing)

    async def final_of(
        self, watch: Watch, record: JobRecord, seconds: float, closing: asyncio.Event | None = None
    ) -> JobRecord:
        """As :meth:`final`, for one who has been watching since before ``record`` was read."""
        end = self._monotonic() + seconds
        while not record.state.is_final and (left := end - self._monotonic()) > 0:
            if closing is not None and closing.is_set():
                break
            heard = await watch.wait(min(left, self._reread))
            changed, _ = watch.take()
            if changed or not heard:
                record = await self._queue.get(record.id)
        return record

    async def follow(self, job: str) -> AsyncGenerator[Update | None, None]:
        """The job now and at every change until it has ended; None after each ``reread_seconds`` of silence.

        Progress of a job's leader is told as its own. Positions are refreshed when some job of the pool has started.

        :raises JobNotFound: no such record.
        """
        with self.watch(job) as watch:
            record = await self._queue.get(job)
            position = await self._position(record)
            starts = self._starts
            yield Update(record, self.progress_of(record), position)
            with self._also(record, watch):
                quiet_since = self._monotonic()
                while not record.state.is_final:
                    heard = await watch.wait(1.0 if position is not None else self._reread)
                    changed, hint = watch.take()
                    quiet = self._monotonic() - quiet_since >= self._reread
                    before = (record.seq, position)
                    if changed or (quiet and not heard):
                        record = await self._queue.get(job)
                    if changed or quiet or starts != self._starts:
                        starts, position = self._starts, await self._position(record)
                    if (record.seq, position) != before or hint is not None:
                        quiet_since = self._monotonic()
                        yield Update(record, None if record.state.is_final else hint, position)
                    elif quiet:
                        quiet_since = self._monotonic()
                        yield None

    @contextmanager
    def _also(self, record: JobRecord, watch: Watch) -> Iterator[None]:
        """Ring ``watch`` for the leader's progress too."""
        if record.leader is None:
            yield
            return
        others = self._watches.setdefault(record.leader, set())
        others.add(watch)
        try:
            yield
        finally:
            others.discard(watch)
            if not others and self._watches.get(record.leader) is others:
                del self._watches[record.leader]

    async def _position(self, record: JobRecord) -> int | None:
        if record.state not in (JobState.QUEUED, JobState.FOLLOWING):
            return None
        return await self._queue.position(record.id)
