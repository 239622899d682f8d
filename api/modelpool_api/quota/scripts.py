"""The ledger's Lua scripts, with the constants and the shared part in front."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from modelpool.queue.rules import DAY_MS
from modelpool_api.quota.ceilings import ACCOUNT_PREFIX

USAGE_DAYS = 35
"""How long the counters of keys are kept, for those who look after them."""
KEEP_MS = 3 * DAY_MS
"""How long counters outlive their day and charges their reservation: a refund may come two days late."""
REPEAT_MS = DAY_MS
"""How long a repeated Idempotency-Key costs nothing; shorter than the queue remembers it."""
WAIT_MS = 60_000
"""How long a reservation waits for its job."""
CHUNK = 128
"""The most charges that one script looks after."""

VERBS = ("reserve", "extend", "look", "release", "spend", "lapse", "refund", "carry", "shed", "pace")


@cache
def source(verb: str) -> str:
    """Complete Lua text of a verb."""
    folder = files("modelpool_api.quota") / "lua"
    names = {"DAY_MS": DAY_MS, "KEEP_MS": KEEP_MS, "REPEAT_MS": REPEAT_MS, "WAIT_MS": WAIT_MS, "CHUNK": CHUNK}
    names["USAGE_MS"] = USAGE_DAYS * DAY_MS
    constants = "".join(f"local {name} = {value}\n" for name, value in names.items())
    constants += f"local ACCOUNT_PREFIX = '{ACCOUNT_PREFIX}'\n"
    parts = ("prelude", "evidence", verb) if verb == "reserve" else ("prelude", verb)
    return constants + "".join((folder / f"{part}.lua").read_text("utf-8") for part in parts)
