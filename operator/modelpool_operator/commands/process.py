"""What both forms of the operator need from their process: a Redis to wait for, a clock, signals."""

from __future__ import annotations

import asyncio
import logging
import signal
import time

from redis.asyncio import Redis

from modelpool.errors import QueueUnavailable
from modelpool.queue.connection import connect

log = logging.getLogger(__name__)

RECONNECT_SECONDS = 1.0


def unix_milliseconds() -> int:
    """Now."""
    return time.time_ns() // 1_000_000


def cancel_on_signals() -> None:
    """SIGTERM and SIGINT cancel the task that calls this."""
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("this runs within a task")
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)


async def connect_when_there(url: str, max_connections: int = 32) -> Redis:
    """Redis may still be starting: that is no reason to give up. Each pool listens on a connection of its own.

    :raises modelpool.errors.InvalidInput: this Redis, or its address, will not do.
    """
    waiting = False
    while True:
        try:
            return await connect(url, max_connections=max_connections)
        except QueueUnavailable as error:
            if not waiting:
                log.warning("waiting for Redis", extra={"reason": error.message})
            waiting = True
            await asyncio.sleep(RECONNECT_SECONDS)
