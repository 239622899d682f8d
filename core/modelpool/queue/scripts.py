"""The queue's Lua scripts: one file a verb, with the shared parts and the constants in front.

redis-py runs them by their digest and loads them where a server does not know them (a restart, a failover).
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from modelpool.jobs import MAX_ATTEMPTS, JobError

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS

RECORD_MS = DAY_MS
"""A record outlives its job's deadline by this."""
CACHE_MS = DAY_MS
"""How long a finished job answers identical ones."""
REFUNDS_MS = 2 * DAY_MS
"""How long a refund waits for an API to fetch it."""
DEMAND_MS = 25 * HOUR_MS
"""How long demand counters live: the forecast looks back a day."""
CHUNK = 64
"""The most jobs that one script looks after besides its own."""
TICKET_DIGITS = 12
"""Zero-padded, so that tickets sort as text."""

WORKER_LOST = JobError(
    code="worker_lost", message="The worker stopped answering while it ran this job, three times in a row."
)
EXPIRED = JobError(code="expired", message="The job did not finish before its deadline.")

_CONSTANTS: dict[str, int | str] = {
    "MAX_ATTEMPTS": MAX_ATTEMPTS,
    "RECORD_MS": RECORD_MS,
    "SLACK_MS": HOUR_MS,
    "CACHE_MS": CACHE_MS,
    "REFUNDS_MS": REFUNDS_MS,
    "DEMAND_MS": DEMAND_MS,
    "CHUNK": CHUNK,
    "TICKET_DIGITS": TICKET_DIGITS,
    "WORKER_LOST": f"[[{WORKER_LOST.to_json()}]]",
    "EXPIRED": f"[[{EXPIRED.to_json()}]]",
}

_SHARED = {
    "enqueue": ("prelude",),
    "claim": ("prelude", "endings"),
    "renew": ("prelude",),
    "finish": ("prelude", "endings"),
    "fail": ("prelude", "endings"),
    "release": ("prelude", "endings"),
    "cancel": ("prelude", "endings"),
    "reap": ("prelude", "endings"),
    "get": ("prelude",),
    "position": ("prelude",),
    "depths": ("prelude",),
    "demand": ("prelude",),
    "shed": ("prelude",),
}
VERBS = tuple(_SHARED)


@cache
def source(verb: str) -> str:
    """Complete Lua text of a verb."""
    folder = files("modelpool.queue") / "lua"
    constants = "".join(f"local {name} = {value}\n" for name, value in _CONSTANTS.items())
    return constants + "".join((folder / f"{part}.lua").read_text("utf-8") for part in (*_SHARED[verb], verb))
