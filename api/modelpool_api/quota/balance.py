"""How a day's allowance stands, and the headers that say so (IETF draft-ietf-httpapi-ratelimit-headers-10). Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from modelpool.queue.rules import DAY_MS
from modelpool_api.quota.ceilings import Ceiling

DAY_SECONDS = DAY_MS // 1000


@dataclass(frozen=True, slots=True)
class Balance:
    """The tightest ceiling: its name, how high it is, what is left under it, and Redis's time in Unix milliseconds."""

    ceiling: str
    limit: int
    remaining: int
    now: int

    @property
    def resets_at(self) -> int:
        """The next midnight UTC, in Unix milliseconds."""
        return (self.now // DAY_MS + 1) * DAY_MS

    @property
    def seconds_to_reset(self) -> int:
        """Rounded up: who comes back then finds a new day."""
        return math.ceil((self.resets_at - self.now) / 1000)

    def headers(self) -> dict[str, str]:
        """``RateLimit-Policy`` and ``RateLimit``."""
        return {
            "RateLimit-Policy": f'"daily";q={self.limit};w={DAY_SECONDS}',
            "RateLimit": f'"daily";r={self.remaining};t={self.seconds_to_reset}',
        }


def tightest(ceilings: Sequence[Ceiling], used: Sequence[int], now: int) -> Balance:
    """The ceiling with the least left, the narrowest of those with equally little."""
    left = [
        (max(0, c.limit - count), place)
        for place, (c, count) in enumerate(zip(ceilings, used, strict=True))
        if c.limit is not None
    ]
    remaining, place = min(left)
    return Balance(ceilings[place].name, ceilings[place].limit or 0, remaining, now)
