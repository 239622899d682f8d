"""Wait for something to become true instead of sleeping for a guessed time."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, overload

T = TypeVar("T")

INTERVAL_SECONDS = 0.01
PATIENCE_SECONDS = 60.0
"""Only a test that fails waits so long. A process that starts in a second has taken twenty beside other work."""


@overload
async def wait_until(predicate: Callable[[], Awaitable[T]], timeout: float = ..., interval: float = ...) -> T: ...
@overload
async def wait_until(predicate: Callable[[], T], timeout: float = ..., interval: float = ...) -> T: ...
async def wait_until(
    predicate: Callable[[], T | Awaitable[T]], timeout: float = PATIENCE_SECONDS, interval: float = INTERVAL_SECONDS
) -> T:
    """Poll `predicate`, plain or async, until what it returns is true, and return that.

    Raises AssertionError with the last value after `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while True:
        outcome = predicate()
        value: T = await outcome if inspect.isawaitable(outcome) else outcome
        if value:
            return value
        if time.monotonic() >= deadline:
            raise AssertionError(_too_late(predicate, timeout, value))
        await asyncio.sleep(interval)


def block_until(
    predicate: Callable[[], T], timeout: float = PATIENCE_SECONDS, interval: float = INTERVAL_SECONDS, what: str = ""
) -> T:
    """`wait_until` for tests without an event loop. ``what`` says for people what shall become true."""
    deadline = time.monotonic() + timeout
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise AssertionError(_too_late(predicate, timeout, value, what))
        time.sleep(interval)


def _too_late(predicate: Callable[[], object], timeout: float, value: object, what: str = "") -> str:
    name = f"{what!r}" if what else getattr(predicate, "__qualname__", repr(predicate))
    return f"{name} was not true within {timeout:g} s; it last returned {value!r}"
