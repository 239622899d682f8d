"""taskiq-redis: its stream broker with acknowledgements and its result backend, as its documentation shows them."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from taskiq.receiver import Receiver
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker
from workload import Finish, Stopwatch, arguments, report, request, shared


async def main() -> None:
    """Enqueue, then drain."""
    asked = arguments()
    results: RedisAsyncResultBackend[None] = RedisAsyncResultBackend(redis_url=asked.url, result_ex_time=3600)
    broker = RedisStreamBroker(url=asked.url).with_result_backend(results)
    finish = Finish(asked.jobs)

    @broker.task  # type: ignore[untyped-decorator]
    async def nothing(body: dict[str, Any]) -> None:
        pass

    await broker.startup()
    bodies = [request(number) for number in range(asked.jobs)]
    enqueue = await shared(asked.url, asked.jobs, asked.clients, lambda number: nothing.kiq(bodies[number]))

    class Counting(Receiver):  # type: ignore[misc]
        """A worker's receiver that counts a message when it has been worked off, result and acknowledgement and all."""

        async def callback(self, *args: Any, **options: Any) -> None:
            await super().callback(*args, **options)
            finish.count()

    broker.is_worker_process = True
    receiver = Counting(broker, max_async_tasks=asked.clients, run_startup=False)
    stop = asyncio.Event()
    watch = Stopwatch(asked.url)
    listening = asyncio.create_task(receiver.listen(stop))
    await finish.passed.wait()
    drain = watch.read()
    stop.set()
    await listening
    await broker.shutdown()
    report(enqueue, drain)


logging.disable(logging.INFO)
asyncio.run(main())
