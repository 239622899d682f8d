"""What one claim costs in a short and in a long line, measured in turns so that the machine's moods meet both."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from bench.queueing.ours import MODEL, POOL, fill, new_jobs, results_of
from modelpool.queue.connection import connect
from modelpool.queue.port import HotModel
from modelpool.queue.redis import RedisQueue


def percentile(values: list[float], share: float) -> float:
    """The smallest value that ``share`` of ``values`` do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@dataclass
class Line:
    """A queue of a certain length, and the milliseconds that calls took on it."""

    queue: RedisQueue
    length: int
    claims: list[float] = field(default_factory=list)
    enqueues: list[float] = field(default_factory=list)
    positions: list[float] = field(default_factory=list)

    async def once(self, number: int) -> None:
        """Enqueue eight jobs, ask for the last one's position, claim a batch of eight and finish it."""
        for job in new_jobs(range(number, number + 8)):
            started = time.perf_counter()
            await self.queue.enqueue(job)
            self.enqueues.append(1000 * (time.perf_counter() - started))
        started = time.perf_counter()
        await self.queue.position(job.id)
        self.positions.append(1000 * (time.perf_counter() - started))
        started = time.perf_counter()
        batch = await self.queue.claim("worker", "slot", [HotModel(MODEL, 8)])
        self.claims.append(1000 * (time.perf_counter() - started))
        if batch is None or len(batch.jobs) != 8:
            raise SystemExit("a full line gave no full batch")
        await self.queue.finish_all(batch.lease, results_of(batch))


async def measure(
    short_url: str, long_url: str, lengths: tuple[int, int], rounds: int, clients: int, step: Callable[[], object]
) -> list[Line]:
    """Times on two queues; ``long_url`` must hold its jobs already. ``step`` is called after each round on each."""
    ends = [await connect(url, max_connections=clients) for url in (short_url, long_url)]
    lines = [Line(RedisQueue(POOL, client), length) for client, length in zip(ends, lengths, strict=True)]
    await fill(short_url, lines[0].queue, lengths[0], clients)
    for line in lines:
        for number in range(20):
            await line.once(2_000_000_000 + 8 * number)
        line.claims, line.enqueues, line.positions = [], [], []
    for number in range(rounds):
        for line in lines:
            await line.once(1_000_000_000 + 8 * number)
            step()
    for client in ends:
        await client.aclose()
    return lines


def claims(
    short_url: str, long_url: str, lengths: tuple[int, int], rounds: int, clients: int, step: Callable[[], object]
) -> list[Line]:
    """:func:`measure`, on a loop of its own."""
    return asyncio.run(measure(short_url, long_url, lengths, rounds, clients, step))
