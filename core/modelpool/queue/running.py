"""Runs the queue's Lua scripts for one pool: each is one round trip, loaded where the server does not know it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from modelpool.queue import scripts
from modelpool.queue.connection import unavailable
from modelpool.queue.pipelining import Pipelining
from modelpool.resources.pool import PoolRef


class ScriptRunner:
    """Call it with a verb and its arguments. ``now`` replaces Redis's own clock, in tests only."""

    def __init__(self, pool: PoolRef, client: Redis, now: Callable[[], int] | None = None) -> None:
        self._prefix = pool.key()
        self._client = client
        self._pipelining = Pipelining(client)
        self.now = now

    async def __call__(self, verb: str, *args: str | int | bytes) -> Any:
        """The script's answer.

        :raises QueueUnavailable: Redis is away, or refuses to write.
        """
        head = self._head(verb)
        with unavailable():
            try:
                return await self._pipelining.send(*head, *args)
            except NoScriptError:
                await self._client.script_load(scripts.source(verb))
                return await self._pipelining.send(*head, *args)

    async def together(self, verb: str, *args: str | int | bytes) -> Any:
        """The script's answer to these arguments, of a verb that works for several callers in one run."""
        head = self._head(verb)
        with unavailable():
            try:
                return await self._pipelining.send_together(head, args)
            except NoScriptError:
                await self._client.script_load(scripts.source(verb))
                return await self._pipelining.send_together(head, args)

    def _head(self, verb: str) -> tuple[str | int, ...]:
        return "EVALSHA", scripts.digest(verb), 1, self._prefix, "" if self.now is None else self.now()
