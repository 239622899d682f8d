"""A thread with a name that does one thing after the other, awaitable from asyncio.

Daemon threads, unlike those of ``concurrent.futures``: a kernel that hangs must not keep the process from ending.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


class SerialThread:
    """Runs callables in order. ``start`` runs first, in the thread itself."""

    def __init__(self, name: str, start: Callable[[], None] | None = None) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, args=(start,), name=name, daemon=True)
        self._thread.start()

    async def run(self, call: Callable[[], T]) -> T:
        """The outcome of ``call``, run in the thread. Cancelling the waiter does not stop the call."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def work() -> None:
            try:
                outcome = call()
            except StopIteration as error:  # no future takes it, so the waiter would hang
                failure = RuntimeError("the call raised StopIteration")
                failure.__cause__ = error
                _hand_over(loop, future, future.set_exception, failure)
            except BaseException as error:
                _hand_over(loop, future, future.set_exception, error)
            else:
                _hand_over(loop, future, future.set_result, outcome)

        self._calls.put(work)
        return await future

    def end(self, timeout: float) -> bool:
        """Let the thread end after what it was given; False when it still works after ``timeout`` seconds."""
        self._calls.put(None)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self, start: Callable[[], None] | None) -> None:
        if start is not None:
            start()
        while (call := self._calls.get()) is not None:
            call()


def _hand_over(
    loop: asyncio.AbstractEventLoop, future: asyncio.Future[Any], setter: Callable[[Any], None], value: Any
) -> None:
    def settle() -> None:
        if not future.done():
            setter(value)

    with suppress(RuntimeError):  # the loop has been closed: nobody waits any more
        loop.call_soon_threadsafe(settle)
