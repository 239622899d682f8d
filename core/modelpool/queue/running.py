"""Runs the queue's Lua scripts for one pool: each is one round trip, loaded where the server does not know it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from redis.asyncio import Redis

from modelpool.queue import scripts
from modelpool.queue.connection import unavailable
from modelpool.resources.pool import PoolRef


class ScriptRunner:
    """Call it with a verb and its arguments. ``now`` replaces Redis's own clock, in tests only."""

    def __init__(self, pool: PoolRef, client: Redis, now: Callable[[], int] | None = None) -> None:
        self._prefix = pool.key()
        self.now = now
        self._scripts = {verb: client.register_script(scripts.source(verb)) for verb in scripts.VERBS}

    async def __call__(self, verb: str, *args: str | int) -> Any:
        """The script's answer.

        :raises QueueUnavailable: Redis is away, or refuses to write.
        """
        now = "" if self.now is None else self.now()
        with unavailable():
            return await self._scripts[verb](keys=[self._prefix], args=[now, *args])
