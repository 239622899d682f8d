"""docket: its worker's `run_until_finished`, on Redis streams."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from docket import Docket, Worker
from workload import Finish, Stopwatch, arguments, report, request, shared


async def main() -> None:
    """Enqueue, then drain."""
    asked = arguments()
    finish = Finish(asked.jobs)

    async def nothing(body: dict[str, Any]) -> None:
        finish.count()

    async with Docket(name="bench", url=asked.url) as docket:
        docket.register(nothing)
        bodies = [request(number) for number in range(asked.jobs)]
        enqueue = await shared(asked.url, asked.jobs, asked.clients, lambda number: docket.add(nothing)(bodies[number]))
        async with Worker(docket, concurrency=asked.clients) as worker:
            watch = Stopwatch(asked.url)
            await worker.run_until_finished()
            drain = watch.read()
    if not finish.passed.is_set():
        raise SystemExit("docket did not run all jobs")
    report(enqueue, drain)


logging.disable(logging.INFO)
asyncio.run(main())
