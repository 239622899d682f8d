"""What one job asks for and how a peer is timed; plain Python, because it runs in the environments of the peers too."""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import redis


def request(number: int) -> dict[str, Any]:
    """A job's parameters as a service sends them, about 400 characters of JSON; no other number gives the same."""
    return {
        "schemaVersion": 1,
        "model": "flux",
        "revision": "3de623fc3c33e44ffbe2bad470d0f45bccf2eb21",
        "task": "TextToImage",
        "prompt": f"A lighthouse on a rocky coast at dusk, waves breaking, warm light in the windows, oil on canvas, {number}",
        "negativePrompt": "blurry, watermark",
        "width": 1024,
        "height": 1024,
        "steps": 4,
        "guidance": 3.5,
        "seed": number,
        "format": "webp",
        "quality": 90,
    }


class Stopwatch:
    """Seconds since it was made: on the wall, and of computing, by this process and by Redis together.

    The second tells contenders apart on a machine that has other things to do, too.
    """

    def __init__(self, url: str) -> None:
        self._redis = redis.Redis.from_url(url)
        self._cpu = self._computed()
        self._wall = time.perf_counter()

    def read(self) -> tuple[float, float]:
        """Both."""
        return time.perf_counter() - self._wall, self._computed() - self._cpu

    def _computed(self) -> float:
        info = self._redis.info("cpu")
        return time.process_time() + float(info["used_cpu_user"]) + float(info["used_cpu_sys"])


async def shared(url: str, amount: int, clients: int, do: Callable[[int], Awaitable[object]]) -> tuple[float, float]:
    """Seconds (wall, computing) that ``clients`` callers, each with one call outstanding, need for ``do(0)`` …
    ``do(amount - 1)``."""
    numbers: Iterator[int] = iter(range(amount))

    async def client() -> None:
        for number in numbers:
            await do(number)

    watch = Stopwatch(url)
    await asyncio.gather(*(client() for _ in range(clients)))
    return watch.read()


class Finish:
    """Counts no-op jobs; ``passed`` is set when the last one has run."""

    def __init__(self, jobs: int) -> None:
        self.passed = asyncio.Event()
        self._left = jobs

    def count(self) -> None:
        """One more has run."""
        self._left -= 1
        if not self._left:
            self.passed.set()


def arguments() -> argparse.Namespace:
    """``url``, ``jobs`` and ``clients`` from the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--jobs", type=int, required=True)
    parser.add_argument("--clients", type=int, required=True)
    return parser.parse_args()


def report(enqueue: tuple[float, float], drain: tuple[float, float]) -> None:
    """Tell the benchmark how many seconds it took, on the wall and of computing."""
    told = {"enqueue": enqueue[0], "drain": drain[0], "enqueue_cpu": enqueue[1], "drain_cpu": drain[1]}
    print(json.dumps(told))
