"""Commands of many callers travel together: what is asked while others are under way goes with the next pipeline.

One command costs redis-py a connection from the pool, a task for the send and a timer for the answer, several times what
the command itself costs. A lone caller notices nothing. And what is asked of one script that can do it for several callers
is asked once: they share what such a run costs beside the work itself.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from modelpool.queue.packing import Words, command, packed
from modelpool.queue.patience import answered_in_time

TRIPS = 2
"""Pipelines under way at one time: Redis works on one while this process reads the answers of the other."""
_SEATS = 64
"""The most commands in one pipeline."""

_SHARED = 16
"""The most callers that one script works for: it keeps all others waiting meanwhile."""


@dataclass(slots=True, eq=False)
class _Passenger:
    count: int
    """Of words."""
    words: bytes
    """As they go over the wire: who cannot be packed does not travel."""
    answer: asyncio.Future[Any]
    boarded: float
    """When, on the event loop's clock."""
    head: Words | None = None
    """Of a command that is made one with others of the same head: ``words`` are what comes behind it."""


class Pipelining:
    """Sends commands over ``client``. Commands of one caller at a time keep their order, those of several need not."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._waiting: list[_Passenger] = []
        self._trips: set[asyncio.Task[None]] = set()
        self._under_way = 0
        """Callers whose commands have set out."""

    async def send(self, *words: str | int | bytes) -> Any:
        """The command's answer. A caller that is cancelled does not take its command back.

        :raises redis.exceptions.RedisError: what Redis answered, or that it cannot be reached.
        :raises TypeError: a word is neither text nor a number.
        :raises UnicodeError: one cannot be written in UTF-8.
        """
        return await self._board(words)

    async def send_together(self, head: Words, words: Words) -> Any:
        """The caller's part of the answer to a command that works for all who come with the same head at one time: the
        head, then of each how many words, and the words. It answers with a list, of each what concerns it or an error.

        :raises redis.exceptions.RedisError: what Redis answered, or that it cannot be reached.
        :raises TypeError: a word is neither text nor a number.
        :raises UnicodeError: one cannot be written in UTF-8.
        """
        return await self._board(words, head)

    async def _board(self, words: Words, head: Words | None = None) -> Any:
        loop = asyncio.get_running_loop()
        passenger = _Passenger(len(words), packed(words), loop.create_future(), loop.time(), head)
        self._waiting.append(passenger)
        if len(self._trips) < TRIPS:
            trip = asyncio.create_task(self._travel())
            self._trips.add(trip)
        return await passenger.answer

    async def _travel(self) -> None:
        try:
            while self._waiting:
                # No more than their share of all who ask: of a long and a short trip, one would wait for the other.
                share = math.ceil((len(self._waiting) + self._under_way) / TRIPS)
                seats = min(share, _SEATS)
                aboard, self._waiting = self._waiting[:seats], self._waiting[seats:]
                self._under_way += len(aboard)
                try:
                    await self._carry(aboard)
                finally:
                    self._under_way -= len(aboard)
                    for passenger in aboard:
                        passenger.answer.cancel()  # those that have none, when the loop ends
                await asyncio.sleep(0)  # let those who have been answered ask again
        finally:
            # Now, not when the task is seen to be done: who comes in between would wait for a trip that is over.
            self._trips.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _carry(self, aboard: list[_Passenger]) -> None:
        groups = _groups(aboard)
        answers: list[Any]
        try:
            # The first has waited longest, so those behind are told in time too.
            async with answered_in_time(since=aboard[0].boarded):
                answers = await self._exchange([_command(group) for group in groups])
        except Exception as error:
            answers = [error] * len(groups)
        for group, answer in zip(groups, answers, strict=True):
            for passenger, its in zip(group, _parts(group, answer), strict=True):
                if passenger.answer.done():
                    continue
                if isinstance(its, Exception):
                    passenger.answer.set_exception(its)
                else:
                    passenger.answer.set_result(its)

    async def _exchange(self, commands: list[bytes]) -> list[Any]:
        """What a pipeline of redis-py does, but for a timer, a dozen calls and several copies for each command."""
        pool = self._client.connection_pool
        connection: AbstractConnection = await pool.get_connection()  # type: ignore[no-untyped-call]
        try:
            return await connection.retry.call_with_retry(
                lambda: _ask(connection, commands), lambda _: connection.disconnect()
            )
        finally:
            await pool.release(connection)


def _groups(aboard: list[_Passenger]) -> list[list[_Passenger]]:
    """Those who share a command."""
    groups: list[list[_Passenger]] = []
    open_groups: dict[Words, list[_Passenger]] = {}
    for passenger in aboard:
        group = open_groups.get(passenger.head) if passenger.head is not None else None
        if group is not None and len(group) < _SHARED:
            group.append(passenger)
            continue
        groups.append([passenger])
        if passenger.head is not None:
            open_groups[passenger.head] = groups[-1]
    return groups


def _command(group: list[_Passenger]) -> bytes:
    head = group[0].head
    if head is None:
        return command(group[0].count, group[0].words)
    words = [packed(head)]
    for passenger in group:
        words += packed((passenger.count,)), passenger.words
    return command(len(head) + sum(1 + passenger.count for passenger in group), *words)


def _parts(group: list[_Passenger], answer: Any) -> Sequence[Any]:
    """What concerns each."""
    if group[0].head is None:
        return [answer]
    if isinstance(answer, list) and len(answer) == len(group):
        return answer
    if not isinstance(answer, Exception):
        answer = ResponseError(f"{len(group)} callers got no answer each, but {answer!r}")
    return [answer] * len(group)


async def _ask(connection: AbstractConnection, commands: list[bytes]) -> list[Any]:
    await connection.send_packed_command(commands)
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
