"""The scripts of the front door: what many requests ask of Redis at a time travels together."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from modelpool.queue.connection import unavailable
from modelpool.queue.pipelining import Pipelining

PREFIX = "mpl:{door}"
"""All keys of identity, quota and behaviour begin so: they belong to everybody who shares this Redis, not to one pool."""


@cache
def _digest(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class DoorScripts:
    """Runs Lua scripts over the client that ``client`` gives, which may be another one after a while."""

    def __init__(self, client: Callable[[], Awaitable[Redis]]) -> None:
        self.client = client
        self._of: Redis | None = None
        self._pipelining: Pipelining | None = None

    async def run(self, text: str, *args: str | int) -> Any:
        """What the script ``text`` answers; it is loaded where Redis does not know it.

        :raises QueueUnavailable: Redis is away, or refuses to write.
        """
        client = await self.client()
        if self._pipelining is None or client is not self._of:
            self._of, self._pipelining = client, Pipelining(client)
        command = ("EVALSHA", _digest(text), 1, PREFIX, *args)
        with unavailable():
            try:
                return await self._pipelining.send(*command)
            except NoScriptError:
                await client.script_load(text)
                return await self._pipelining.send(*command)
