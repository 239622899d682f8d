"""Commands of many callers travel together: what is asked while others are under way goes with the next pipeline.

One command costs redis-py a connection from the pool, a task for the send and a timer for the answer, several times what
the command itself costs. A lone caller notices nothing.
"""

from __future__ import annotations

import asyncio
import math
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

_TRIPS = 2
"""Pipelines under way at one time: Redis works on one while this process reads the answers of the other."""
_SEATS = 64
"""The most commands in one pipeline."""
_FEW = 8
"""Not worth two pipelines."""

_Passenger = tuple[tuple[str | int, ...], "asyncio.Future[Any]"]


class Pipelining:
    """Sends commands over ``client``. Commands of one caller at a time keep their order, those of several need not."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._waiting: list[_Passenger] = []
        self._trips: set[asyncio.Task[None]] = set()
        self._under_way = 0

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
            # Some are left for the trip that has not set out: else all travel in one, and the two never overlap.
            share = math.ceil(len(self._waiting) / (_TRIPS - self._under_way))
            seats = min(max(share, _FEW), _SEATS)
            aboard, self._waiting = self._waiting[:seats], self._waiting[seats:]
            self._under_way += 1
            try:
                await self._carry(aboard)
            finally:
                self._under_way -= 1
                for _, answer in aboard:
                    answer.cancel()  # those that have none, when the loop ends
            await asyncio.sleep(0)  # let those who have been answered ask again

    async def _carry(self, aboard: list[_Passenger]) -> None:
        commands = [command for command, _ in aboard]
        answers: list[Any]
        try:
            answers = await self._exchange(commands)
        except Exception as error:
            answers = [error] * len(aboard)
        for (_, waiting), answer in zip(aboard, answers, strict=True):
            if waiting.done():
                continue
            if isinstance(answer, Exception):
                waiting.set_exception(answer)
            else:
                waiting.set_result(answer)

    async def _exchange(self, commands: list[tuple[str | int, ...]]) -> list[Any]:
        """What a pipeline of redis-py does, but for a timer, a dozen calls and several copies for each command."""
        pool = self._client.connection_pool
        connection: AbstractConnection = await pool.get_connection()  # type: ignore[no-untyped-call]
        try:
            return await connection.retry.call_with_retry(
                lambda: _ask(connection, commands), lambda _: connection.disconnect()
            )
        finally:
            await pool.release(connection)


async def _ask(connection: AbstractConnection, commands: list[tuple[str | int, ...]]) -> list[Any]:
    await connection.send_packed_command(connection.pack_commands(commands))
    answers: list[Any] = []
    try:
        async with asyncio.timeout(connection.socket_timeout):
            while len(answers) < len(commands):
                try:
                    answers.append(await connection.read_response(timeout=math.inf))
                except ResponseError as error:
                    answers.append(error)
    except TimeoutError:  # the connection has been closed meanwhile
        raise RedisTimeoutError("Timeout reading from Redis") from None
    return answers
