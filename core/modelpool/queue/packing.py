"""Commands as they go over the wire, packed in C: redis-py does so for its blocking connections only, and a script has many
arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import hiredis
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.connection import HiredisRespSerializer

if TYPE_CHECKING:
    _Base = AbstractConnection
else:
    _Base = object

Words = tuple[str | int | bytes, ...]

_serializer = HiredisRespSerializer()


def packed(words: Words) -> bytes:
    """The words of a command, or some of them.

    :raises TypeError: a word is neither text nor a number.
    :raises UnicodeError: one cannot be written in UTF-8.
    """
    whole: bytes = hiredis.pack_command(words)  # type: ignore[arg-type]  # its stub allows one word only
    return whole[whole.index(b"\n") + 1 :]


def command(count: int, *parts: bytes) -> bytes:
    """A command of so many words, which lie packed in ``parts``."""
    return b"".join((b"*%d\r\n" % count, *parts))


class _PackedInC(_Base):
    def pack_command(self, *args: Any) -> list[bytes]:
        return _serializer.pack(*args)  # type: ignore[no-any-return]


def pack_in_c(pool: ConnectionPool) -> None:
    """Let the pool's future connections, of whatever kind, pack their commands in C."""
    kind = pool.connection_class
    pool.connection_class = type(f"Packed{kind.__name__}", (_PackedInC, kind), {})
