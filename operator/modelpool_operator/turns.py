"""Who may make a round now: many pools in one process take turns, as many rounds at once would only delay one another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

LONGEST_WAIT_SECONDS = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class _Waiter:
    turn: asyncio.Future[None]
    is_urgent: Callable[[], bool]


def _never() -> bool:
    return False


class Turns:
    """``at_once`` at a time: who is urgent first, then first come, first served."""

    def __init__(self, at_once: int = 1, longest_wait: float = LONGEST_WAIT_SECONDS) -> None:
        self._free = at_once
        self._longest_wait = longest_wait
        self._waiting: list[_Waiter] = []

    @asynccontextmanager
    async def take(self, is_urgent: Callable[[], bool] = _never) -> AsyncIterator[None]:
        """Wait for a turn, but not for long: when Redis is away all rounds take their time, and all want to say so.

        ``is_urgent`` is asked whenever a turn is given: who waits already may become urgent.
        """
        if not await self._got(is_urgent):
            yield
            return
        try:
            yield
        finally:
            self._pass_on()

    async def _got(self, is_urgent: Callable[[], bool]) -> bool:
        if self._free:
            self._free -= 1
            return True
        waiter = _Waiter(asyncio.get_running_loop().create_future(), is_urgent)
        self._waiting.append(waiter)
        try:
            await asyncio.wait((waiter.turn,), timeout=self._longest_wait)
        except asyncio.CancelledError:
            if waiter.turn.done():
                self._pass_on()
            else:
                self._waiting.remove(waiter)
            raise
        if waiter.turn.done():
            return True
        self._waiting.remove(waiter)
        return False

    def _pass_on(self) -> None:
        if not self._waiting:
            self._free += 1
            return
        following = next((waiter for waiter in self._waiting if waiter.is_urgent()), self._waiting[0])
        self._waiting.remove(following)
        following.turn.set_result(None)
