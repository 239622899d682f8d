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
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

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


@dataclass(frozen=True, slots=True)
class Hints:
    """What a watch has heard."""

    changed: bool = False
    """The record may have changed: read it."""
    ended: bool = False
    """The job may have ended."""
    progress: JobEvent | None = None


class Watch:
    """The latest hints about one job since they were last taken."""

    def __init__(self) -> None:
        self._bell = asyncio.Event()
        self._hints = Hints()

    def ring(self, event: JobEvent | None) -> None:
        """Leave a hint; None means that hints may have been missed."""
        if event is None:
            self._hints = replace(self._hints, changed=True, ended=True)
        elif is_progress(event):
            self._hints = replace(self._hints, progress=event)
        else:
            self._hints = replace(self._hints, changed=True, ended=self._hints.ended or event.state.is_final)
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

    def take(self) -> Hints:
        """The hints, and forget them."""
        taken, self._hints = self._hints, Hints()
        return taken


def is_progress(event: JobEvent) -> bool:
    """Whether an event tells how a running attempt gets on, rather than a change of the record."""
    return event.progress is not None or event.preview is not None


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
        self._closed = False
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
        self._ring_all()

    def close(self) -> None:
        """Send home everybody who waits, and whoever comes: the process ends."""
        self._closed = True
        self._ring_all()

    def _ring_all(self) -> None:
        for watches in self._watches.values():
            for watch in watches:
                watch.ring(None)

    def dispatch(self, event: JobEvent) -> None:
        """Pass one event on."""
        if is_progress(event):
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
            watch.ring(event)

    # --- waiters --------------------------------------------------------------------------------------------------

    @contextmanager
    def watch(self, job: str) -> Iterator[Watch]:
        """Hints about ``job`` while the block runs."""
        watch = Watch()
        with self._registered(job, watch):
            yield watch

    @contextmanager
    def _registered(self, job: str, watch: Watch) -> Iterator[None]:
        self._watches.setdefault(job, set()).add(watch)
        try:
            yield
        finally:
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

    async def final(self, job: str, seconds: float) -> JobRecord:
        """The record as soon as the job has ended, or as it stands after ``seconds``.

        :raises JobNotFound: no such record.
        """
        with self.watch(job) as watch:
            return await self.final_of(watch, await self._queue.get(job), seconds)

    async def final_of(self, watch: Watch, record: JobRecord, seconds: float) -> JobRecord:
        """As :meth:`final`, for one who has been watching since before ``record`` was read."""
        end = self._monotonic() + seconds
        while not record.state.is_final and not self._closed and (left := end - self._monotonic()) > 0:
            heard = await watch.wait(min(left, self._reread))
            if watch.take().ended or not heard:
                record = await self._queue.get(record.id)
        return record

    async def follow(self, job: str) -> AsyncGenerator[Update | None, None]:
        """The job now and at every change until it has ended or the pool is closed; None after each ``reread_seconds`` of silence.

        Progress of a job's leader is told as its own. Positions are refreshed when some job of the pool has started.

        :raises JobNotFound: no such record.
        """
        with ExitStack() as stack:
            watch = stack.enter_context(self.watch(job))
            record = await self._queue.get(job)
            if record.leader is not None:
                stack.enter_context(self._registered(record.leader, watch))
            starts, position = self._starts, await self._position(record)
            yield Update(record, self.progress_of(record), position)
            quiet_since = self._monotonic()
            while not record.state.is_final and not self._closed:
                heard = await watch.wait(1.0 if position is not None else self._reread)
                hints = watch.take()
                quiet = self._monotonic() - quiet_since >= self._reread
                before = (record.seq, position)
                if hints.changed or (quiet and not heard):
                    led_by, record = record.leader, await self._queue.get(job)
                    if record.leader not in (None, led_by):  # the leader was cancelled, and another follower took over
                        stack.enter_context(self._registered(record.leader, watch))
                if hints.changed or quiet or starts != self._starts:
                    starts, position = self._starts, await self._position(record)
                if (record.seq, position) != before or hints.progress is not None:
                    quiet_since = self._monotonic()
                    yield Update(record, None if record.state.is_final else hints.progress, position)
                elif quiet:
                    quiet_since = self._monotonic()
                    yield None

    async def _position(self, record: JobRecord) -> int | None:
        if record.state not in (JobState.QUEUED, JobState.FOLLOWING):
            return None
        return await self._queue.position(record.id)
