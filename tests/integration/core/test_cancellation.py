"""A task that is cancelled while it talks to Redis ends, whatever the moment."""

import asyncio

from modelpool.queue.connection import connect


async def test_no_cancellation_is_dropped(redis_url_any: str) -> None:
    async with await connect(redis_url_any) as client:

        async def talk() -> None:
            while True:
                await client.get("x")

        for number in range(100):
            task = asyncio.create_task(talk())
            await asyncio.sleep(0.001 + number * 1e-5)
            task.cancel()
            await asyncio.wait({task}, timeout=1)
            assert task.cancelled()
        assert await client.get("x") is None
