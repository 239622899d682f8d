"""modelpool's queue under the same load as its peers, every job with its full promise.

Each job is enqueued with a digest and a charge, for 50 users in two lanes that are served fairly; it is claimed under a
lease and finished with a result, which is cached; every change is published.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets

from bench.queueing.peers.workload import Stopwatch, request, shared
from modelpool.jobs import Durations, JobRequest, JobResult, Lane, NewJob
from modelpool.queue.connection import connect
from modelpool.queue.port import Batch, HotModel
from modelpool.queue.redis import RedisQueue
from modelpool.resources.pool import PoolRef

POOL = PoolRef("default", "studio")
USERS = 50
CHUNK = 10_000
"""Jobs that are made at a time, so that not all of a million lie in this process."""
MODEL = str(request(0)["model"])


def new_jobs(numbers: range) -> list[NewJob]:
    """As the API makes them. Every one has a digest of its own: none follows another."""
    jobs = []
    for number in numbers:
        asked = JobRequest.model_validate(request(number))
        user = number % USERS
        jobs.append(
            NewJob(
                id=f"{POOL.short_id}-{secrets.token_urlsafe(16)}",
                subject=f"user-{user}",
                lane=Lane.ACCOUNT if user % 2 else Lane.ANONYMOUS,
                request=asked,
                work=1.5,
                price=1,
                digest=asked.digest("1"),
                charge_id=secrets.token_urlsafe(16),
            )
        )
    return jobs


def results_of(batch: Batch) -> dict[str, JobResult]:
    """What a worker would report."""
    return {
        job.id: JobResult(
            key=f"results/{job.id}.webp",
            content_type="image/webp",
            size=123_456,
            width=1024,
            height=1024,
            seed=job.request.seed,
            model=MODEL,
            batch_size=len(batch.jobs),
            durations=Durations(waited=1200, ran=900, computed=850),
            worker="worker-1",
            slot="node-1/0",
        )
        for job in batch.jobs
    }


async def drain(url: str, queue: RedisQueue, clients: int, batch_size: int) -> tuple[float, float]:
    """Seconds (wall, computing) until all has been claimed and finished by ``clients`` callers, each with one call
    outstanding."""
    hot = [HotModel(MODEL, batch_size)]

    async def client(number: int) -> None:
        while batch := await queue.claim(f"worker-{number}", f"slot-{number}", hot):
            finished = await queue.finish_all(batch.lease, results_of(batch))
            if len(finished) != len(batch.jobs):
                raise SystemExit("a finish was refused")

    watch = Stopwatch(url)
    await asyncio.gather(*(client(number) for number in range(clients)))
    return watch.read()


async def memory(queue: RedisQueue) -> int:
    """Bytes that Redis has in use."""
    return int((await queue.client.info("memory"))["used_memory"])


async def fill(url: str, queue: RedisQueue, jobs: int, clients: int) -> tuple[float, float]:
    """Seconds (wall, computing) to enqueue ``jobs`` jobs."""
    wall = cpu = 0.0
    for start in range(0, jobs, CHUNK):
        some = new_jobs(range(start, min(start + CHUNK, jobs)))
        seconds = await shared(url, len(some), clients, lambda number, some=some: queue.enqueue(some[number]))  # type: ignore[misc]
        wall, cpu = wall + seconds[0], cpu + seconds[1]
    return wall, cpu


async def run(asked: argparse.Namespace) -> dict[str, float]:
    """Seconds to enqueue and to drain jobs, and bytes per queued job, as far as asked for."""
    client = await connect(asked.url, max_connections=asked.clients)
    queue = RedisQueue(POOL, client)
    told: dict[str, float] = {}
    await shared(asked.url, asked.clients, asked.clients, lambda _: queue.position("none"))  # the connections
    if asked.phase != "drain":
        before = await memory(queue)
        told["enqueue"], told["enqueue_cpu"] = await fill(asked.url, queue, asked.jobs, asked.clients)
        told["bytes"] = (await memory(queue) - before) / asked.jobs
    if asked.phase != "enqueue":
        told["drain"], told["drain_cpu"] = await drain(asked.url, queue, asked.clients, asked.batch)
        if waiting := sum(depth.queued + depth.running for depth in (await queue.depths()).values()):
            raise SystemExit(f"{waiting} jobs were left")
    await client.aclose()
    return told


def main() -> None:
    """One run, told as one line of JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--jobs", type=int, required=True)
    parser.add_argument("--clients", type=int, required=True)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--phase", choices=["enqueue", "drain", "both"], default="both")
    print(json.dumps(asyncio.run(run(parser.parse_args()))))


if __name__ == "__main__":
    main()
