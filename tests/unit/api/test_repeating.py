"""Repeated work survives its failures and complains once."""

from __future__ import annotations

import asyncio
import logging

import pytest

from modelpool.errors import QueueUnavailable
from modelpool.tasks import end
from modelpool_api.repeating import repeat
from support import wait_until


@pytest.mark.parametrize("error", [QueueUnavailable("away"), RuntimeError("a mistake of ours")])
async def test_an_outage_is_told_once_and_its_end_too(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    answers: list[Exception | None] = [None, error, error, error, None, None]
    done = 0

    async def action() -> None:
        nonlocal done
        answer = answers[done] if done < len(answers) else None
        done += 1
        if answer is not None:
            raise answer

    with caplog.at_level(logging.INFO):
        task = asyncio.create_task(repeat("counting", 0, action))
        await wait_until(lambda: done > len(answers))
        await end(task)
    told = [record.getMessage() for record in caplog.records if "counting" in record.getMessage()]
    assert len(told) == 2
    assert told[1] == "counting: works again"


async def test_a_failed_task_is_told_and_not_raised(caplog: pytest.LogCaptureFixture) -> None:
    async def broken() -> None:
        raise RuntimeError("broken")

    task = asyncio.create_task(broken(), name="the broken one")
    await wait_until(task.done)
    await end(task)
    assert "the broken one ended with RuntimeError: broken" in caplog.text
