"""Listening on a Redis channel for ever, through reconnects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable

from redis.asyncio import Redis
from redis.exceptions import RedisError

_RETRY_SECONDS = 0.5


async def listen(
    client: Redis, channel: str, on_connect: Callable[[], None] | None = None
) -> AsyncGenerator[str, None]:
    """Every message of a channel from now on.

    ``on_connect`` is called whenever the subscription stands (again): what was published before it may be missing.
    """
    while True:
        subscription = client.pubsub()
        try:
            await subscription.subscribe(channel)
            while True:
                # The timeout lets redis-py's health check run on a silent channel.
                message = await subscription.get_message(timeout=5)
                if message is None:
                    continue
                if message["type"] == "message":
                    yield message["data"]
                elif message["type"] == "subscribe" and on_connect is not None:
                    on_connect()
        except (RedisError, OSError):
            await asyncio.sleep(_RETRY_SECONDS)
        finally:
            await subscription.aclose()  # type: ignore[no-untyped-call]
