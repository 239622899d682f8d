"""`make prove-queue`: random operations on the queue in Redis and on its model, thousands of examples on each version.

QUEUE_EXAMPLES says how many in all, half on each kind of Redis; both run at once. Every portion prints what was done so
far. Ends with 1 when the queue and its model differ, after the shortest way to see it.
"""

import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from support import RedisProcess, bundled_redis, debian_redis
from support.queue_machine import drive

EXAMPLES = int(os.environ.get("QUEUE_EXAMPLES", "10000"))
PORTION = 100
PROGRAMS = {"redis6": bundled_redis, "redis7": debian_redis}


def prove(kind: str, examples: int) -> tuple[str, Counter[str]]:
    """All examples of one kind of Redis, a portion at a time: hypothesis draws each portion anew."""
    done: Counter[str] = Counter()
    started = time.monotonic()
    with (
        tempfile.TemporaryDirectory() as folder,
        RedisProcess(PROGRAMS[kind](), Path(folder)) as server,
    ):
        while done["examples"] < examples:
            done += drive(server.url, min(PORTION, examples - done["examples"]))
            print(f"{kind}: {_words(done, time.monotonic() - started)}", flush=True)
    return kind, done


def main(kinds: Sequence[str]) -> int:
    """Both kinds at once."""
    started = time.monotonic()
    total: Counter[str] = Counter()
    with ProcessPoolExecutor(len(kinds)) as processes:
        runs = [processes.submit(prove, kind, -(-EXAMPLES // len(kinds))) for kind in kinds]
        for run in as_completed(runs):
            total += run.result()[1]
    seconds = time.monotonic() - started
    print(f"the queue and its model agree: {_words(total, seconds)}")
    print(json.dumps({**total, "seconds": round(seconds)}))
    return 0


def _words(done: Counter[str], seconds: float) -> str:
    return f"{done['examples']:,} examples, {done['operations']:,} operations, {seconds:,.0f} s"


if __name__ == "__main__":
    sys.exit(main(tuple(PROGRAMS)))
