"""Redis behind Sentinel: connections that ask which server is the primary, each time they connect."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from redis.asyncio import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool, SentinelManagedConnection
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

SCHEME = "redis+sentinel"
FORM = "redis+sentinel://host:26379,host:26379/primary/0"
_PORT = 26379
_SECONDS = 1.0
"""For one Sentinel to answer; then the next one is asked."""


class _PrimaryConnection(SentinelManagedConnection):
    """Leaves a primary that has become a replica. redis-py sees that in a command's answer, but not in a script's."""

    async def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            return await super().read_response(*args, **options)
        except ResponseError as error:
            if "READONLY" not in str(error):
                raise
            await self.disconnect()
            raise RedisConnectionError("the primary has become a replica") from error


class PrimaryPool(SentinelConnectionPool, BlockingConnectionPool):
    """A pool of connections to whichever server is the primary; who finds none free waits, as in the plain pool."""

    async def disconnect(self, inuse_connections: bool = True) -> None:
        """Hang up; with the last connection, at Sentinel too."""
        await super().disconnect(inuse_connections)
        if inuse_connections:
            await self.sentinel_manager.aclose()


def primary_pool(url: str, **options: Any) -> PrimaryPool:
    """The pool for ``redis+sentinel://[user:password@]host[:port],…/primary[/database]``.

    User and password are Redis's; Sentinel's own go behind it: ``?sentinel_username=…&sentinel_password=…``.

    :raises ValueError: no such URL.
    """
    parts = urlsplit(url)
    credentials, _, hosts = parts.netloc.rpartition("@")
    user, _, password = credentials.partition(":")
    name, _, database = parts.path.strip("/").partition("/")
    query = parse_qs(parts.query, strict_parsing=True) if parts.query else {}
    if parts.scheme != SCHEME or not name or query.keys() - {"sentinel_username", "sentinel_password"}:
        raise ValueError(f"not of the form {FORM}")
    sentinel = Sentinel(  # type: ignore[no-untyped-call]
        [_address(host) for host in hosts.split(",")],
        sentinel_kwargs={
            "username": query.get("sentinel_username", [None])[0],
            "password": query.get("sentinel_password", [None])[0],
            "socket_timeout": _SECONDS,
            "socket_connect_timeout": _SECONDS,
            "retry": Retry(NoBackoff(), 0),
        },
    )
    return PrimaryPool(  # type: ignore[no-untyped-call]
        unquote(name),
        sentinel,
        connection_class=_PrimaryConnection,
        db=int(database or 0),
        username=unquote(user) or None,
        password=unquote(password) or None,
        **options,
    )


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":") if text.rpartition(":")[2].isdecimal() else (text, "", str(_PORT))
    if not host:
        raise ValueError("a host is missing")
    return host.strip("[]"), int(port)
