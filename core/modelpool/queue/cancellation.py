"""Connections that a cancelled task really lets go of.

redis-py sends under ``asyncio.wait_for``, which before Python 3.12 drops a cancellation that comes in the moment when the
bytes are out: the task lives on, and whoever waits for its end waits for ever. A task counts the requests to cancel it,
so a dropped one can be told, and is raised again here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

from redis.asyncio.connection import AbstractConnection, ConnectionPool

if TYPE_CHECKING:
    _Base = AbstractConnection
else:
    _Base = object


class _Cancellable(_Base):
    async def send_packed_command(self, command: bytes | str | Iterable[bytes], check_health: bool = True) -> None:
        task = asyncio.current_task()
        before = task.cancelling() if task is not None else 0
        await super().send_packed_command(command, check_health)
        if task is not None and task.cancelling() > before:
            # Nobody will read the answer to what was sent.
            await self.disconnect(nowait=True)
            raise asyncio.CancelledError


def make_cancellable(pool: ConnectionPool) -> None:
    """Let the pool's future connections, of whatever kind, raise every cancellation."""
    kind = pool.connection_class
    pool.connection_class = type(f"Cancellable{kind.__name__}", (_Cancellable, kind), {})
