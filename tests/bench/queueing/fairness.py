"""Who waits how long: one heavy user against fifty light ones, in the queue's own rules and in plain FIFO.

    make bench-fairness
    make bench-fairness BENCH="--seed 7 --heavy 3000"     another crowd

The service is simulated in virtual time (no sleeping, nothing measured: the same seed gives the same table). Four slots
hold an image model and a video model; a batch takes the GPU-seconds of its jobs together, at most eight images or one
video. The heavy user's jobs all come at once, before anybody else's; the light ones' come evenly over ten minutes. FIFO
is honest: it batches the oldest jobs of the oldest job's key under the same limits. Waits are seconds from enqueue to
claim. The last line is JSON.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import json
import math
import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console
from rich.table import Table

from bench.queueing.claims import percentile
from modelpool.jobs import Lane, NewJob
from modelpool.queue.model import QueueModel
from modelpool.queue.port import HotModel
from support.queues import POOL, new_job, new_result

SLOTS = 4
HOT = (HotModel("image", 8, max_work=12.0), HotModel("video", 1))
SECONDS = 600
HOUR_MS = 3_600_000


@dataclass(frozen=True)
class Arrival:
    """A job, when it comes (ms), and the class of its user."""

    at: int
    job: NewJob
    group: str


class Discipline(Protocol):
    """Decides who is served next."""

    def put(self, job: NewJob, now: int) -> None:
        """A job comes."""

    def take(self, now: int) -> list[NewJob]:
        """The next batch for a free slot."""


class Fair:
    """The queue's rules."""

    def __init__(self) -> None:
        self._model = QueueModel(str(POOL))
        self._jobs: dict[str, NewJob] = {}
        self._leases = itertools.count()

    def put(self, job: NewJob, now: int) -> None:
        """Enqueue."""
        self._jobs[job.id] = job
        self._model.enqueue(job, now)

    def take(self, now: int) -> list[NewJob]:
        """Claim; the order of service is all that counts here, so the jobs are finished at once."""
        batch = self._model.claim(f"lease{next(self._leases)}", "slot", HOT, now, lease_ms=HOUR_MS)
        jobs = batch.jobs if batch else ()
        for job in jobs:
            self._model.finish(batch.lease if batch else "", job.id, new_result(), now)
        return [self._jobs[job.id] for job in jobs]


class Fifo:
    """First come, first served; later jobs of the same key fill the batch."""

    def __init__(self) -> None:
        self._waiting: list[NewJob] = []

    def put(self, job: NewJob, now: int) -> None:
        """To the end of the line."""
        self._waiting.append(job)

    def take(self, now: int) -> list[NewJob]:
        """The oldest, and the next oldest that may run with it."""
        if not self._waiting:
            return []
        head = self._waiting[0].request
        hot = next(model for model in HOT if model.name == head.model)
        batch: list[NewJob] = []
        room = math.inf if hot.max_work is None else hot.max_work
        for job in self._waiting:
            if (job.request.shape_key(), job.request.parameter_key()) != (head.shape_key(), head.parameter_key()):
                continue
            room -= job.work
            if batch and (len(batch) >= hot.cap or room < 0):
                break
            batch.append(job)
        taken = {job.id for job in batch}
        self._waiting = [job for job in self._waiting if job.id not in taken]
        return batch


def crowd(heavy: int, chance: random.Random) -> list[Arrival]:
    """The heavy user's jobs, and six of each of ten paid, twenty account and twenty anonymous users."""
    numbers = itertools.count()

    def arrival(at: int, subject: str, lane: Lane, group: str) -> Arrival:
        video = chance.random() < 0.1
        job = new_job(
            "video" if video else "image",
            lane,
            id=f"job{next(numbers):06d}",
            subject=subject,
            width=512 if video else chance.choice((512, 1024)),
            work=20.0 if video else chance.choice((0.7, 1.5, 3.0)),
            deadline_ms=24 * HOUR_MS,
        )
        return Arrival(at, job, group)

    arrivals = [arrival(0, "heavy", Lane.ACCOUNT, "heavy, account") for _ in range(heavy)]
    lanes = [Lane.PAID] * 10 + [Lane.ACCOUNT] * 20 + [Lane.ANONYMOUS] * 20
    for user, lane in enumerate(lanes):
        arrivals += [
            arrival(chance.randrange(1, 1000 * SECONDS), f"light{user}", lane, f"light, {lane.value}") for _ in range(6)
        ]
    return sorted(arrivals, key=lambda one: one.at)


def serve(discipline: Discipline, arrivals: list[Arrival]) -> tuple[dict[str, list[float]], float]:
    """Seconds that jobs waited, by class; and when the last one was done."""
    known = {one.job.id: one for one in arrivals}
    waits: dict[str, list[float]] = defaultdict(list)
    free: Iterator[Arrival] = iter(arrivals)
    following = next(free, None)
    busy: list[int] = []  # when each busy slot is free again
    now = 0
    while following is not None or busy:
        now = min([one.at for one in (following,) if one] + busy[:1])
        while following is not None and following.at <= now:
            discipline.put(following.job, now)
            following = next(free, None)
        while busy and busy[0] <= now:
            heapq.heappop(busy)
        while len(busy) < SLOTS and (batch := discipline.take(now)):
            for job in batch:
                waits[known[job.id].group].append((now - known[job.id].at) / 1000)
            heapq.heappush(busy, now + round(1000 * sum(job.work for job in batch)))
    return waits, now / 1000


def main() -> None:
    """Serve the same crowd twice, show the waits, and print one JSON line last."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heavy", type=int, default=1000, help="jobs of the heavy user (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the crowd (%(default)s)")
    asked = parser.parse_args()
    arrivals = crowd(asked.heavy, random.Random(asked.seed))
    fair, fair_end = serve(Fair(), arrivals)
    fifo, fifo_end = serve(Fifo(), arrivals)
    if {group: len(waits) for group, waits in fair.items()} != {group: len(waits) for group, waits in fifo.items()}:
        raise SystemExit("not every job was served by both")
    table = Table("seconds waited", "jobs", "fair p50", "p95", "max", "FIFO p50", "p95", "max")
    shares = (0.5, 0.95, 1.0)
    for group in sorted(fair):
        cells = [f"{percentile(waits[group], share):,.1f}" for waits in (fair, fifo) for share in shares]
        table.add_row(group, str(len(fair[group])), *cells)
    Console(width=110).print(table)
    print(f"all served after {fair_end:,.0f} s (fair), {fifo_end:,.0f} s (FIFO)")
    figures: dict[str, float] = {}
    for name, waits in (("fair", fair), ("fifo", fifo)):
        light = [wait for group, values in waits.items() if group.startswith("light") for wait in values]
        figures[f"light_p50_s_{name}"] = round(percentile(light, 0.5), 1)
        figures[f"light_p95_s_{name}"] = round(percentile(light, 0.95), 1)
        figures[f"heavy_p50_s_{name}"] = round(percentile(waits["heavy, account"], 0.5), 1)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
