from __future__ import annotations

import asyncio
import threading

import pytest

from modelpool_worker.threads import SerialThread
from support.waiting import PATIENCE_SECONDS


async def test_calls_run_in_order_in_one_thread() -> None:
    thread = SerialThread("engine")
    seen: list[tuple[int, str]] = []

    def note(number: int) -> int:
        seen.append((number, threading.current_thread().name))
        return number

    outcomes = await asyncio.gather(*(thread.run(lambda number=number: note(number)) for number in range(5)))  # type: ignore[misc]
    assert outcomes == list(range(5))
    assert seen == [(number, "engine") for number in range(5)]
    assert thread.end(5)


async def test_an_exception_reaches_the_caller_and_the_thread_goes_on() -> None:
    thread = SerialThread("engine")

    def fail() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await thread.run(fail)
    assert await thread.run(lambda: 1) == 1
    assert thread.end(5)


async def test_an_exception_that_no_future_takes_reaches_the_caller_as_another() -> None:
    thread = SerialThread("engine")
    with pytest.raises(RuntimeError, match="StopIteration"):
        await asyncio.wait_for(thread.run(lambda: next(iter(()))), PATIENCE_SECONDS)
    assert thread.end(5)


async def test_what_shall_run_first_runs_in_the_thread() -> None:
    names: list[str] = []
    thread = SerialThread("loader", lambda: names.append(threading.current_thread().name))
    await thread.run(lambda: None)
    assert names == ["loader"]
    assert thread.end(5)


async def test_a_waiter_that_leaves_does_not_break_the_thread() -> None:
    thread, gate = SerialThread("engine"), threading.Event()
    waiter = asyncio.create_task(thread.run(gate.wait))
    await asyncio.sleep(0)
    waiter.cancel()
    gate.set()
    assert await thread.run(lambda: 2) == 2
    assert thread.end(5)


async def test_a_thread_that_hangs_is_reported() -> None:
    thread, gate = SerialThread("engine"), threading.Event()
    waiter = asyncio.create_task(thread.run(gate.wait))
    await asyncio.sleep(0)
    assert not thread.end(0.01)
    gate.set()
    await waiter
    assert thread.end(5)
