"""Tells listeners how a batch gets on: the latest step of each job, at a bounded rate, now and then with a preview."""

from __future__ import annotations

import asyncio
import base64
import io
import logging
from collections.abc import Callable, Sequence

from PIL import Image

from modelpool.errors import QueueUnavailable
from modelpool.jobs import JobEvent, JobState
from modelpool.queue.port import ClaimedJob, Queue
from modelpool_worker.clock import Clock
from modelpool_worker.engines.protocol import Frames, Step
from modelpool_worker.running import Run

log = logging.getLogger(__name__)

EVENT_SECONDS = 0.05
PREVIEW_SECONDS = 0.5
PREVIEW_BYTES = 8 * 1024


class Announcer:
    """The events of one run. ``collect`` belongs to the engine thread, the rest to the event loop."""

    def __init__(self, run: Run, queue: Queue, clock: Clock, on_step: Callable[[int, int], None]) -> None:
        """``on_step`` hears of every step, on the event loop."""
        self._on_step = on_step
        self._run = run
        self._queue = queue
        self._clock = clock
        self._previews_at = clock.monotonic()
        self._waiting: dict[str, JobEvent] = {}
        self._news = asyncio.Event()

    def collect(self, step: Step, members: int) -> list[Frames]:
        """Previews of all members if it is time for some, else nothing."""
        now = self._clock.monotonic()
        if step.preview is None or step.step == step.steps or now - self._previews_at < PREVIEW_SECONDS:
            return []
        self._previews_at = now
        return [step.preview(member) for member in range(members)]

    def stepped(self, jobs: Sequence[ClaimedJob], step: int, steps: int, previews: Sequence[Frames]) -> None:
        """A step of these members is done."""
        self._on_step(step, steps)
        for index, job in enumerate(jobs):
            if self._run.wants(job):
                self._waiting[job.id] = JobEvent(
                    job=job.id,
                    seq=0,
                    state=JobState.RUNNING,
                    progress=round(step / max(steps, 1), 4),
                    step=step,
                    steps=steps,
                    preview=data_url(previews[index]) if previews else None,
                )
        self._news.set()

    async def run(self) -> None:
        """Publish for ever; what comes faster than the rate replaces what has not been sent."""
        while True:
            await self._news.wait()
            self._news.clear()
            events, self._waiting = self._waiting, {}
            try:
                for event in events.values():
                    await self._queue.publish(event)
            except QueueUnavailable:
                pass  # hints only: the record is the truth
            except Exception:
                log.exception("progress not told", extra={"jobs": len(events)})
            await self._clock.sleep(EVENT_SECONDS)


def data_url(picture: Frames) -> str | None:
    """A small picture as a data URL; None when even a shrunken one is too large."""
    image = Image.fromarray(picture[0])
    for _ in range(4):
        target = io.BytesIO()
        image.save(target, "WEBP", quality=60)
        url = "data:image/webp;base64," + base64.b64encode(target.getvalue()).decode()
        if len(url) <= PREVIEW_BYTES:
            return url
        image = image.reduce(2)
    return None
