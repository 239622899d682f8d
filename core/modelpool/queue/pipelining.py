"""Commands of many callers travel together: what is asked while others are under way goes with the next pipeline.

One command costs redis-py a connection from the pool, a task for the send and a timer for the answer, several times what
the command itself costs. A lone caller notices nothing.
"""

from __future__ import annotations

import asyncio
from typing import Any

from redis.asyncio import Redis

_TRIPS = 2
"""Pipelines under way at one time: Redis works on one while this process reads the answers of the other."""
_SEATS = 64
"""Commands in one pipeline."""

_Passenger = tuple[tuple[str | int, ...], "asyncio.Future[Any]"]


class Pipelining:
    """Sends commands over ``client``. Commands of one caller at a time keep their order, those of several need not."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._waiting: list[_Passenger] = []
        self._trips: set[asyncio.Task[None]] = set()

    async def send(self, *command: str | int) -> Any:
        """The command's answer. A caller that is cancelled does not take its command back.

        :raises redis.exceptions.RedisError: what Redis answered, or that it cannot be reached.
        """
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((command, answer))
        if len(self._trips) < _TRIPS:
            trip = asyncio.create_task(self._travel())
            self._trips.add(trip)
            trip.add_done_callback(self._trips.discard)
        return await answer

    async def _travel(self) -> None:
        while self._waiting:
            aboard, self._waiting = self._waiting[:_SEATS], self._waiting[_SEATS:]
            try:
                await self._carry(aboard)
            finally:
                for _, answer in aboard:
                    answer.cancel()  # those that have none, when the loop ends
            await asyncio.sleep(0)  # let those who have been answered ask again

    async def _carry(self, aboard: list[_Passenger]) -> None:
        pipeline = self._client.pipeline(transaction=False)
        for command, _ in aboard:
            pipeline.execute_command(*command)
        answers: list[Any]
        try:
            answers = await pipeline.execute(raise_on_error=False)
        except Exception as error:
            answers = [error] * len(aboard)
        for (_, waiting), answer in zip(aboard, answers, strict=True):
            if waiting.done():
                continue
            if isinstance(answer, Exception):
                waiting.set_exception(answer)
            else:
                waiting.set_result(answer)
