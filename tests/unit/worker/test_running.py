from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import pytest

from modelpool.errors import EngineError
from modelpool.jobs import JobRequest, Lane
from modelpool.queue.port import Batch, ClaimedJob, Queue, Renewal
from modelpool.resources.models import Task
from modelpool_worker.running import Run
from support.worker import FakeClock


@dataclass
class BrokenQueue:
    """Raises what nobody expects of a queue."""

    calls: list[str] = field(default_factory=list)
    breaks: int = 1
    """Renewals that break before one works."""

    async def renew(self, _: str, jobs: Sequence[str], __: int) -> Renewal:
        self.calls.append("renew")
        if len(self.calls) <= self.breaks:
            raise AttributeError("nobody thought of this")
        return Renewal(held=frozenset(), cancelled=frozenset(), lost=frozenset(jobs))

    async def fail(self, *_: object) -> bool:
        self.calls.append("fail")
        raise AttributeError("nobody thought of this")


def started(queue: object) -> Run:
    request = JobRequest(
        model="flat", revision="1", task=Task.TEXT_TO_IMAGE, width=8, height=8, steps=4, guidance=0, seed=1
    )
    jobs = tuple(ClaimedJob(name, request, Lane.PAID, 1.0, 0, False, 0, 10**12) for name in ("a", "b"))
    clock = FakeClock()
    return Run(Batch("lease", jobs, clock.now_ms()), cast("Queue", queue), clock)


async def test_a_member_whose_failure_cannot_be_told_leaves_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    queue = BrokenQueue()
    run = started(queue)
    await run.fail_all(EngineError("broken"))
    assert queue.calls == ["fail", "fail"]
    assert run.members == ()
    assert run.settled.is_set()
    assert "failure not told" in caplog.text


async def test_a_lease_that_cannot_be_renewed_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    queue = BrokenQueue(breaks=2)
    run = started(queue)
    await run.keep_lease()
    assert queue.calls == ["renew"] * 3
    assert run.settled.is_set()
    assert "lease not renewed" in caplog.text
