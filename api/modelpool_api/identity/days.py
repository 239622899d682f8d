"""Which UTC day it is by Redis's clock, and the key that this day's names are made with.

Replicas' own clocks may differ, and would give a visitor two names around midnight: so the day is Redis's. The day's
first process writes down which secret the day's key comes from; all that hold this secret use it until midnight, and a
rotation changes no name in the middle of a day.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from redis.asyncio import Redis
from redis.commands.core import AsyncScript

from modelpool.queue.connection import unavailable
from modelpool.queue.rules import DAY_MS
from modelpool_api.door_scripts import PREFIX
from modelpool_api.identity.ring import DayKey, SecretRing

_MARK = """
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local mark = KEYS[1] .. ':day:' .. math.floor(now / 86400000)
local secret = redis.call('GET', mark)
if not secret then
  secret = ARGV[2]
  redis.call('SET', mark, secret, 'PX', 172800000)
end
return {now, secret}
"""


class Days:
    """Knows the day's key; asks Redis once a day. ``now`` replaces Redis's clock, in tests only."""

    def __init__(
        self,
        client: Callable[[], Awaitable[Redis]],
        ring: SecretRing,
        *,
        now: Callable[[], int] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._ring = ring
        self.now = now
        self._monotonic = monotonic
        self._known: DayKey | None = None
        self._ahead = 0.0
        """Redis's time minus the monotonic clock's, in milliseconds."""

    async def today(self) -> DayKey:
        """The day and its key.

        :raises QueueUnavailable: Redis is away, and the day is not known yet.
        """
        if self._known is not None and self._now_ms() // DAY_MS == self._known.day:
            return self._known
        return await self.ask()

    async def ask(self) -> DayKey:
        """The same, from Redis now: somebody was told that the day is another one.

        :raises QueueUnavailable: Redis is away.
        """
        client = await self._client()
        given = "" if self.now is None else self.now()
        with unavailable():
            script = AsyncScript(client, _MARK)
            now, secret = await script(keys=[PREFIX], args=[given, self._ring.ids()[0]])
        self._ahead = int(now) - self._monotonic() * 1000
        self._known = self._ring.day_key(int(now) // DAY_MS, str(secret))
        return self._known

    def _now_ms(self) -> int:
        return round(self._ahead + self._monotonic() * 1000)
