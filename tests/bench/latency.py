"""How much the service adds to a pipeline's own time, and how long people wait at 70 % of the pool's capacity.

    make bench-latency

Part one, one idle worker: jobs one after another, each timed from POST to the final event at the client; the pipeline's
own time, measured around its call in the worker, is subtracted. The peer is the same pipeline called in this process.
Part two, the pool of examples/studio.yaml: a burst gives the capacity, then Poisson arrivals at 70 % of it give the
time to result. The last line is JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import time
from typing import Any

from rich.progress import track

from modelpool.resources.load import load_pool
from support import service

ROOT = service.ROOT
MIX = ("shapes-flat",) * 7 + ("shapes-outline", "shapes-neon", "shapes-mosaic")
COLOURS = ("red", "green", "blue", "yellow")
SHAPES = ("circle", "square", "triangle", "star")


def percentile(values: list[float], share: float) -> float:
    """The smallest value that ``share`` of ``values`` do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def body(model: str, chance: random.Random) -> dict[str, Any]:
    """A job that no other job equals."""
    prompt = f"a {chance.choice(COLOURS)} {chance.choice(SHAPES)} in the center on a white background"
    return {"model": model, "prompt": prompt, "seed": chance.randrange(2**31)}


async def overhead(jobs: int, chance: random.Random) -> tuple[list[float], float]:
    """Seconds added to each of ``jobs`` jobs on one idle worker, and the median of the pipeline's own time."""
    async with service.running(ROOT / "examples" / "small.yaml") as client:
        for _ in range(5):
            await service.run_job(client, body("shapes-flat", chance))
        steps = track(range(jobs), description="overhead")
        timed = [await service.run_job(client, body("shapes-flat", chance)) for _ in steps]
    return [job.total - job.computed for job in timed], statistics.median(job.computed for job in timed)


def direct(jobs: int, chance: random.Random) -> float:
    """Median seconds of the same pipeline called here, on one thread as the worker has."""
    import torch
    from diffusers import DiffusionPipeline

    torch.set_num_threads(1)
    model = load_pool(ROOT / "examples" / "small.yaml").spec.tiers[0].models[0]
    pipeline = DiffusionPipeline.from_pretrained(
        ROOT / "models" / "shapes-flat", local_files_only=True, dtype=torch.float32
    )
    pipeline.set_progress_bar_config(disable=True)
    seconds = []
    for _ in range(jobs + 2):
        started = time.perf_counter()
        pipeline(
            prompt=body("shapes-flat", chance)["prompt"],
            width=model.defaults.width,
            height=model.defaults.height,
            num_inference_steps=model.defaults.steps,
            guidance_scale=model.defaults.guidance,
        )
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[2:])


async def under_load(burst: int, seconds: float, chance: random.Random) -> tuple[float, float, list[float]]:
    """Capacity in jobs/s, offered load in jobs/s, and each job's seconds to its result at 70 % of capacity."""
    async with service.running(ROOT / "examples" / "studio.yaml") as client:
        await asyncio.gather(*(service.run_job(client, body(model, chance)) for model in sorted(set(MIX))))
        started = time.perf_counter()
        await asyncio.gather(*(service.run_job(client, body(chance.choice(MIX), chance)) for _ in range(burst)))
        capacity = burst / (time.perf_counter() - started)
        rate = 0.7 * capacity
        arrivals, at = [], 0.0
        while (at := at + chance.expovariate(rate)) < seconds:
            arrivals.append(at)

        async def arrive(after: float) -> float:
            await asyncio.sleep(after)
            return (await service.run_job(client, body(chance.choice(MIX), chance))).total

        print(f"{len(arrivals)} jobs at {rate:.2f}/s over {seconds:.0f} s …", flush=True)
        return capacity, rate, list(await asyncio.gather(*(arrive(after) for after in arrivals)))


def main() -> None:
    """Run both parts and print one JSON line last."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=100, help="jobs on the idle worker")
    parser.add_argument("--burst", type=int, default=120, help="jobs that measure the capacity")
    parser.add_argument("--seconds", type=float, default=60, help="length of the 70 %% load")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    added, computed = asyncio.run(overhead(arguments.jobs, chance))
    alone = direct(arguments.jobs // 3, chance)
    capacity, rate, waits = asyncio.run(under_load(arguments.burst, arguments.seconds, chance))
    figures = {
        "overhead_p50_ms": round(1000 * statistics.median(added), 1),
        "overhead_p99_ms": round(1000 * percentile(added, 0.99), 1),
        "pipeline_vs_direct": round(computed / alone, 2),
        "capacity_per_s": round(capacity, 2),
        "offered_per_s": round(rate, 2),
        "time_to_result_p50_s": round(statistics.median(waits), 2),
        "time_to_result_p95_s": round(percentile(waits, 0.95), 2),
    }
    for name, value in figures.items():
        print(f"{name:>24} {value}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
