"""Connecting to Redis: a pool of connections with sane timeouts, and a look at whether this Redis will do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MasterDownError, NoScriptError, OutOfMemoryError, ReadOnlyError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from modelpool.errors import InvalidInput, QueueUnavailable
from modelpool.queue import sentinel
from modelpool.queue.cancellation import make_cancellable
from modelpool.queue.packing import pack_in_c
from modelpool.queue.patience import PatientRedis

OLDEST_REDIS = (6, 2)
_REFUSALS = ("OOM", "MISCONF", "NOREPLICAS", "LOADING", "READONLY", "MASTERDOWN", "BUSY ")
"""Answers of a Redis that lives but will not do the work now; inside a script they come wrapped in other words."""


async def connect(url: str, *, max_connections: int = 32) -> Redis:
    """A client for ``redis://``, ``rediss://``, ``unix://`` or ``redis+sentinel://``, checked to be of use as a queue.

    A lost connection is tried again a few times: every verb of the queue may be repeated. Whatever happens, a command ends within
    :data:`modelpool.queue.patience.ANSWER_SECONDS`. Who waits for a free connection of the pool waits at most five seconds.

    :raises InvalidInput: no such URL, Redis Cluster, an eviction policy that throws queued jobs away, or a Redis too old.
    :raises QueueUnavailable: nobody answers.
    """
    pool = _pool(url, max_connections)
    make_cancellable(pool)
    pack_in_c(pool)
    client = PatientRedis.from_pool(pool)
    try:
        with unavailable():
            _check(url, await client.info())
    except BaseException:
        await client.aclose()
        raise
    return client


def _pool(url: str, max_connections: int) -> BlockingConnectionPool:
    options: dict[str, Any] = {
        "max_connections": max_connections,
        "timeout": 5,
        "decode_responses": True,
        # Bytes that are no text are damage of one value: strictly read, they fail everybody whose commands travel along.
        "encoding_errors": "replace",
        "socket_timeout": 5,
        "socket_connect_timeout": 2,
        "health_check_interval": 15,
        "retry": Retry(ExponentialWithJitterBackoff(base=0.05, cap=0.5), 4),
        "retry_on_error": [RedisConnectionError, RedisTimeoutError, OSError],
    }
    try:
        if url.startswith(f"{sentinel.SCHEME}:"):
            return sentinel.primary_pool(url, **options)
        return BlockingConnectionPool.from_url(url, **options)
    except ValueError:  # its words may repeat a part of the password
        raise InvalidInput(
            "The URL of Redis cannot be read: write redis://host:6379/0, rediss://host:6379/0, unix:///path or "
            f"{sentinel.FORM}.",
            param="redisUrl",
        ) from None


def _check(url: str, info: dict[str, Any]) -> None:
    where = url.rpartition("@")[2]
    if int(info.get("cluster_enabled", 0)):
        raise InvalidInput(
            f"{where} is a Redis Cluster: modelpool wants a single primary, one Redis per group of pools.",
            param="redisUrl",
        )
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        raise InvalidInput(
            f"{where} has maxmemory-policy {policy}, which throws queued jobs away: set it to noeviction.",
            param="redisUrl",
        )
    version = str(info.get("redis_version", "0"))
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_REDIS:
        raise InvalidInput(f"{where} is Redis {version}: modelpool wants 6.2 or newer.", param="redisUrl")


@contextmanager
def unavailable() -> Iterator[None]:
    """Turn every way in which Redis can be away, or refuse to write, into :class:`QueueUnavailable`."""
    try:
        yield
    except (RedisConnectionError, RedisTimeoutError, OSError, ReadOnlyError, MasterDownError) as error:
        raise QueueUnavailable(f"Redis cannot be reached: {error}. Try again in a moment.", retry_after=2) from error
    except ResponseError as error:
        if isinstance(error, OutOfMemoryError | NoScriptError) or any(word in str(error) for word in _REFUSALS):
            raise QueueUnavailable(f"Redis refuses to write: {error}. Try again later.", retry_after=5) from error
        raise
