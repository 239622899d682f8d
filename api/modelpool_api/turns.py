"""Taking turns at something that one does at a time: those who wait are served in the order of whose they are, not of all."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class TooManyWait(Exception):  # no error, but an answer to whoever wants a turn
    """As many turns as one may have at a time are taken or waited for."""


class Turns:
    """One turn at a time. Who comes waits for at most one turn of everybody else, however many others wait for."""

    def __init__(self) -> None:
        self._now: str | None = None
        self._lines: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        """Who waits, by whose they are; the first line is served next."""

    @asynccontextmanager
    async def turn(self, whose: str, most: int) -> AsyncIterator[None]:
        """Wait for a turn of ``whose``, and have it within the block.

        :raises TooManyWait: ``most`` of theirs are taken or waited for.
        """
        if len(self._lines.get(whose, ())) + (self._now == whose) >= most:
            raise TooManyWait
        if self._now is None:
            self._now = whose
        else:
            await self._wait(whose)
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, whose: str) -> None:
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lines.setdefault(whose, deque()).append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if not mine.cancelled():  # the turn has come, too late
                self._pass_on()
            elif mine in (line := self._lines.get(whose, deque())):
                line.remove(mine)
                if not line:
                    del self._lines[whose]
            raise

    def _pass_on(self) -> None:
        # Whose turn is over comes after all who wait.
        if self._now is not None and self._now in self._lines:
            self._lines.move_to_end(self._now)
        self._now = None
        while self._lines and self._now is None:
            whose, line = next(iter(self._lines.items()))
            first = line.popleft()
            if not line:
                del self._lines[whose]
            if not first.done():
                self._now = whose
                first.set_result(None)
