"""Who may make a round now: many pools in one process take turns, as many rounds at once would only delay one another.

A miss does not queue behind other pools' looks at what is well: urgent rounds have turns of their own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

LONGEST_WAIT_SECONDS = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class _Waiter:
    turn: asyncio.Future[bool]
    """Gives whether it is an urgent one's."""
    is_urgent: Callable[[], bool]


def _never() -> bool:
    return False


class Turns:
    """``at_once`` at a time, and as many urgent ones beside them; first come, first served.

    While an urgent round is under way no other one begins.
    """

    def __init__(self, at_once: int = 1, longest_wait: float = LONGEST_WAIT_SECONDS) -> None:
        self._at_once = at_once
        self._longest_wait = longest_wait
        self._waiting: list[_Waiter] = []
        self._under_way = {True: 0, False: 0}
        """Rounds, by whether they are urgent."""

    @asynccontextmanager
    async def take(self, is_urgent: Callable[[], bool] = _never) -> AsyncIterator[None]:
        """Wait for a turn, but not for long: when Redis is away all rounds take their time, and all want to say so.

        ``is_urgent`` is asked whenever turns are given: who waits already may become urgent.
        """
        turn = await self._turn(is_urgent)
        try:
            yield
        finally:
            if turn is not None:
                self._give_back(turn)

    def look_again(self) -> None:
        """Give what turns there are. Call it when somebody who waits may have become urgent."""
        for urgent in (True, False):
            for waiter in [waiter for waiter in self._waiting if waiter.is_urgent() is urgent]:
                if not self._may_begin(urgent):
                    break
                self._waiting.remove(waiter)
                self._under_way[urgent] += 1
                waiter.turn.set_result(urgent)

    def _may_begin(self, urgent: bool) -> bool:
        return self._under_way[urgent] < self._at_once and (urgent or not self._under_way[True])

    async def _turn(self, is_urgent: Callable[[], bool]) -> bool | None:
        """Whether the turn is an urgent one's; None: without one."""
        waiter = _Waiter(asyncio.get_running_loop().create_future(), is_urgent)
        self._waiting.append(waiter)
        self.look_again()
        try:
            await asyncio.wait((waiter.turn,), timeout=self._longest_wait)
        except asyncio.CancelledError:
            if waiter.turn.done():
                self._give_back(waiter.turn.result())
            else:
                self._waiting.remove(waiter)
            raise
        if waiter.turn.done():
            return waiter.turn.result()
        self._waiting.remove(waiter)
        return None

    def _give_back(self, turn: bool) -> None:
        self._under_way[turn] -= 1
        self.look_again()
