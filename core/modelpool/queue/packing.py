"""Commands packed in C: redis-py does so for its blocking connections only, and a script has many arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import hiredis
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.connection import HiredisRespSerializer

if TYPE_CHECKING:
    _Base = AbstractConnection
else:
    _Base = object

_serializer = HiredisRespSerializer()


class _PackedInC(_Base):
    def pack_command(self, *args: Any) -> list[bytes]:
        if args[0] == "EVALSHA":  # ours, all text and numbers: nothing to look at or to convert
            return [hiredis.pack_command(args)]
        return _serializer.pack(*args)  # type: ignore[no-any-return]


def pack_in_c(pool: ConnectionPool) -> None:
    """Let the pool's future connections, of whatever kind, pack their commands in C."""
    kind = pool.connection_class
    pool.connection_class = type(f"Packed{kind.__name__}", (_PackedInC, kind), {})
