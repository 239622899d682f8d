"""How long a command may take in all. redis-py has a timeout for each try, and retries within retries: a Redis that is there but
silent would keep a caller for minutes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import TimeoutError as RedisTimeoutError

ANSWER_SECONDS = 6.0
"""From the asking to the answer, with every try, every new connection and the time behind others. One try may go unanswered
(five seconds, as long as Redis lets a script run before it says that it is busy), with a second for another one on a new
connection. A lease of 30 seconds leaves room for several renewals that fail so."""


@asynccontextmanager
async def answered_in_time(since: float | None = None) -> AsyncIterator[None]:
    """Give up what runs inside. ``since``: when it was asked for, on the event loop's clock; now if left out.

    :raises redis.exceptions.TimeoutError: no answer in :data:`ANSWER_SECONDS`.
    """
    asked = asyncio.get_running_loop().time() if since is None else since
    try:
        async with asyncio.timeout_at(asked + ANSWER_SECONDS):
            yield
    except TimeoutError:
        raise RedisTimeoutError(f"no answer in {ANSWER_SECONDS:g} s") from None


class PatientRedis(Redis):
    """Its commands end in time. Not its subscriptions: those wait for ever, on connections of their own."""

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """One command.

        :raises redis.exceptions.RedisError: what Redis answered, or that it cannot be reached.
        """
        async with answered_in_time():
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        """Several commands that are sent together, and end in time together."""
        return _PatientPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)


class _PatientPipeline(Pipeline):
    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        async with answered_in_time():
            return await super().execute(raise_on_error)
