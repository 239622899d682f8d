from __future__ import annotations

import asyncio
import base64
import io
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import pytest
from PIL import Image

from modelpool.errors import QueueUnavailable
from modelpool.jobs import JobEvent, JobRequest, Lane
from modelpool.queue.port import Batch, ClaimedJob, Queue
from modelpool.resources.models import Task
from modelpool_worker.engines.protocol import Frames, Step
from modelpool_worker.progress import EVENT_SECONDS, PREVIEW_BYTES, PREVIEW_SECONDS, Announcer, data_url
from modelpool_worker.running import Run
from support import wait_until
from support.worker import FakeClock


@dataclass
class Channel:
    """The part of a queue that hears of progress."""

    told: list[JobEvent] = field(default_factory=list)
    error: Exception | None = None

    async def publish(self, event: JobEvent) -> None:
        if self.error is not None:
            raise self.error
        self.told.append(event)


def job(name: str) -> ClaimedJob:
    request = JobRequest(
        model="flat", revision="1", task=Task.TEXT_TO_IMAGE, width=8, height=8, steps=4, guidance=0, seed=1
    )
    return ClaimedJob(name, request, Lane.PAID, 1.0, 0, False, 0, 10**12)


@dataclass
class Bench:
    """An announcer of a batch of two."""

    channel: Channel = field(default_factory=Channel)
    clock: FakeClock = field(default_factory=FakeClock)
    steps: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.jobs = (job("a"), job("b"))
        queue = cast("Queue", self.channel)
        self.run = Run(Batch("lease", self.jobs, self.clock.now_ms()), queue, self.clock)
        self.announcer = Announcer(self.run, queue, self.clock, lambda step, steps: self.steps.append((step, steps)))


def picture(size: int = 8) -> Frames:
    return np.random.default_rng(1).integers(0, 256, (1, size, size, 3), np.uint8)


async def test_every_member_hears_of_a_step() -> None:
    bench = Bench()
    task = asyncio.create_task(bench.announcer.run())
    bench.announcer.stepped(bench.jobs, 1, 4, [])
    await wait_until(lambda: len(bench.channel.told) == 2)
    task.cancel()
    assert [(event.job, event.step, event.steps, event.progress) for event in bench.channel.told] == [
        ("a", 1, 4, 0.25),
        ("b", 1, 4, 0.25),
    ]


async def test_steps_faster_than_the_rate_are_counted_but_only_the_latest_is_told() -> None:
    bench = Bench()
    for step in range(1, 5):
        bench.announcer.stepped(bench.jobs, step, 4, [])
    task = asyncio.create_task(bench.announcer.run())
    await wait_until(lambda: bench.clock.slept)
    task.cancel()
    assert [event.step for event in bench.channel.told] == [4, 4]
    assert bench.steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert bench.clock.slept == [EVENT_SECONDS]


@pytest.mark.parametrize("error", [QueueUnavailable("away"), AttributeError("nobody thought of this")])
async def test_a_redis_that_is_away_or_broken_does_not_stop_the_batch(error: Exception) -> None:
    bench = Bench()
    bench.channel.error = error
    task = asyncio.create_task(bench.announcer.run())
    bench.announcer.stepped(bench.jobs, 1, 4, [])
    await wait_until(lambda: bench.clock.slept)
    bench.channel.error = None
    bench.announcer.stepped(bench.jobs, 2, 4, [])
    await wait_until(lambda: bench.channel.told)
    task.cancel()
    assert bench.channel.told[0].step == 2


async def test_previews_come_at_their_own_rate() -> None:
    bench = Bench()
    made: list[int] = []

    def preview(member: int) -> Frames:
        made.append(member)
        return picture()

    assert bench.announcer.collect(Step(1, 9, preview), 2) == [], "nothing to see yet"
    bench.clock.seconds += PREVIEW_SECONDS
    assert len(bench.announcer.collect(Step(2, 9, preview), 2)) == 2
    assert bench.announcer.collect(Step(3, 9, preview), 2) == []
    bench.clock.seconds += PREVIEW_SECONDS
    assert bench.announcer.collect(Step(9, 9, preview), 2) == [], "the picture itself is next"
    assert made == [0, 1]


@pytest.mark.parametrize("size", [8, 128, 400])
def test_a_preview_is_a_small_data_url(size: int) -> None:
    url = data_url(picture(size))
    assert url is not None
    assert len(url) <= PREVIEW_BYTES
    kind, _, data = url.partition(",")
    assert kind == "data:image/webp;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).format == "WEBP"
