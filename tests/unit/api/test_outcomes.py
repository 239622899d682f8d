from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import cast

import pytest
from prometheus_client import CollectorRegistry

from modelpool.errors import JobNotFound
from modelpool.jobs import JobRecord
from modelpool.metrics import ApiMetrics
from modelpool_api.outcomes import Outcomes
from modelpool_api.pools import Pool
from support import wait_until


def test_a_job_that_does_not_come_to_be_is_not_expected_any_more() -> None:
    outcomes = Outcomes(ApiMetrics(CollectorRegistry()))
    for job in ("real", "repeated"):
        outcomes.expect(job)
    outcomes.forget("repeated")
    outcomes.forget("ended already")
    assert outcomes.expected == 1


async def test_a_job_that_cannot_be_counted_keeps_no_other_from_being_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    asked: list[str] = []

    async def get(job: str) -> JobRecord:
        asked.append(job)
        if job == "broken":
            raise AttributeError("nobody thought of this")
        raise JobNotFound("gone")

    pool = cast("Pool", SimpleNamespace(queue=SimpleNamespace(get=get)))
    outcomes = Outcomes(ApiMetrics(CollectorRegistry()))
    for job in ("broken", "gone"):
        outcomes.expect(job)
        outcomes.ended(pool, job)
    task = asyncio.create_task(outcomes.run())
    await wait_until(lambda: len(asked) == 2 or task.done())
    task.cancel()
    assert asked == ["broken", "gone"]
    assert "goes uncounted" in caplog.text
