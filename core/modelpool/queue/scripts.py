"""The queue's Lua scripts: one file a verb, with the shared parts and the constants in front.

They are run by their digest and loaded where a server does not know them (a restart, a failover).
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from importlib.resources import files

from modelpool.jobs import LANE_WEIGHT, MAX_ATTEMPTS, JobState
from modelpool.queue.rules import (
    CACHE_MS,
    DEMAND_MS,
    EXPIRED,
    HOUR_MS,
    LINES,
    LONGEST_LEASE_MS,
    LOOK_AHEAD,
    MENDED_LEASE_MS,
    RECORD_MS,
    REFUNDS_MS,
    WORKER_LOST,
)

CHUNK = 64
"""The most jobs that one script looks after besides its own."""
TICKET_DIGITS = 10
"""Hexadecimal, zero-padded, so that tickets sort as text."""
FLIGHT_DIGITS = 3
"""So many digits of a digest name the hash that its flight is in: 4,096 hashes, compact up to two million jobs."""
_SLICED = ("body", "result", "error", "failures")
"""Fields whose values may be long. Their further slices are called by the first letter and a number, from 2 on."""
SLICE = 63
"""Redis keeps a hash compact while no value is longer than 64 bytes; up to 63, it takes two bytes to say how long one is."""
SLICES = 100
"""The most slices of one value; what is longer has longer ones."""

KINDS = (
    "job", "line", "batch", "shape", "due", "flight", "followers", "debt", "tally", "idempotency", "cache", "lease",
    "demand", "refunds", "served",
)  # fmt: skip
"""What a key of the queue's own begins with, after the pool's prefix."""

_CONSTANTS: dict[str, int | str] = {
    "LINES": "{'" + "','".join(LINES) + "'}",
    "WEIGHT": "{" + ",".join(f"{lane}={weight}" for lane, weight in LANE_WEIGHT.items()) + "}",
    "STATES": "{" + ",".join(f"{state}=true" for state in JobState) + "}",
    "MAX_ATTEMPTS": MAX_ATTEMPTS,
    "RECORD_MS": RECORD_MS,
    "SLACK_MS": HOUR_MS,
    "CACHE_MS": CACHE_MS,
    "REFUNDS_MS": REFUNDS_MS,
    "DEMAND_MS": DEMAND_MS,
    "LONGEST_LEASE_MS": LONGEST_LEASE_MS,
    "MENDED_LEASE_MS": MENDED_LEASE_MS,
    "CHUNK": CHUNK,
    "LOOK_AHEAD": LOOK_AHEAD,
    "KINDS": "{" + ",".join(f"{kind}=true" for kind in KINDS) + "}",
    "TICKET_DIGITS": TICKET_DIGITS,
    "TICKET": f"'%0{TICKET_DIGITS}x'",
    "FLIGHT_DIGITS": FLIGHT_DIGITS,
    "SLICE": SLICE,
    "SLICES": SLICES,
    "SLICED": "{"
    + ",".join(f"{field}={{'{field}'," + ",".join(f"'{field[0]}{n}'" for n in range(2, 10)) + "}" for field in _SLICED)
    + "}",
    "WORKER_LOST": f"[[{WORKER_LOST.to_json()}]]",
    "EXPIRED": f"[[{EXPIRED.to_json()}]]",
}

_FUNCTION = re.compile(r"^(local function (?:[^\n]* end\n|.*?^end\n))", re.MULTILINE | re.DOTALL)
"""Of a Lua file: on one line, or up to the line that is its end."""

_ENDING = ("finish", "fail", "release", "cancel", "reap", "check_jobs", "check_entries", "check_leaders")
VERBS = (
    *_ENDING,
    *("enqueue", "claim", "renew", "get", "position", "depths", "demand", "shed", "summaries"),
    *("check_keys", "check_time", "recount"),
)


@cache
def source(verb: str) -> str:
    """Complete Lua text of a verb."""
    folder = files("modelpool.queue") / "lua"
    text = (folder / f"{verb}.lua").read_text("utf-8")
    for part in ("endings", "lines", "prelude") if verb in _ENDING else ("lines", "prelude"):
        text = _with_what_it_names((folder / f"{part}.lua").read_text("utf-8"), text)
    used = {name: value for name, value in _CONSTANTS.items() if re.search(rf"\b{name}\b", text)}
    return "".join(f"local {name} = {value}\n" for name, value in used.items()) + text


def _with_what_it_names(shared: str, text: str) -> str:
    """``text`` behind all of ``shared`` but functions that nobody calls: to make them anew costs each run of a script."""
    for part in reversed(_FUNCTION.split(shared)):
        name = part.partition("(")[0].removeprefix("local function ") if part.startswith("local function ") else ""
        if not name or re.search(rf"\b{name}\(|pcall\({name},", text):
            text = part + text
    return text


@cache
def digest(verb: str) -> str:
    """The name under which Redis keeps the script of a verb."""
    return hashlib.sha1(source(verb).encode(), usedforsecurity=False).hexdigest()
