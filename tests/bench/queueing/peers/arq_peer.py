"""arq: a worker as `arq --burst` runs it. It polls a sorted set and keeps results for an hour."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from arq import create_pool
from arq.connections import RedisSettings
from arq.worker import Worker
from workload import Stopwatch, arguments, report, request, shared


async def nothing(context: dict[str, Any], body: dict[str, Any]) -> None:
    """The job."""


async def main() -> None:
    """Enqueue, then drain."""
    asked = arguments()
    settings = RedisSettings.from_dsn(asked.url)
    pool = await create_pool(settings)
    bodies = [request(number) for number in range(asked.jobs)]
    enqueue = await shared(
        asked.url, asked.jobs, asked.clients, lambda number: pool.enqueue_job("nothing", bodies[number])
    )
    worker = Worker(
        functions=[nothing],
        redis_settings=settings,
        burst=True,
        max_jobs=asked.clients,
        poll_delay=0.01,
        handle_signals=False,
        log_results=False,
    )
    watch = Stopwatch(asked.url)
    await worker.main()
    drain = watch.read()
    if worker.jobs_complete != asked.jobs:
        raise SystemExit(f"arq ran {worker.jobs_complete} of {asked.jobs} jobs")
    await worker.close()
    await pool.aclose()
    report(enqueue, drain)


logging.disable(logging.INFO)
asyncio.run(main())
