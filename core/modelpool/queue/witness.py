"""What in Redis shows that a job has been enqueued, or that it need not be made: for those who let it in."""

from __future__ import annotations

from redis.asyncio import Redis

from modelpool.queue.connection import unavailable
from modelpool.queue.records import short_hash
from modelpool.queue.scripts import FLIGHT_DIGITS
from modelpool.resources.pool import PoolRef


def witness_key(pool: PoolRef, job: str, idempotency_key: str | None = None) -> str:
    """A key that exists as soon as the job is in the queue, and for a day longer than it can live.

    With an idempotency key it is that key's: the first of several equal requests has brought the job.
    """
    return pool.key("job", job) if idempotency_key is None else repeat_key(pool, idempotency_key)


def repeat_key(pool: PoolRef, idempotency_key: str) -> str:
    """The witness of every job under this idempotency key."""
    return pool.key("idempotency", short_hash(idempotency_key))


async def need_not_be_made(client: Redis, pool: PoolRef, digest: str) -> bool:
    """Whether the result of a job with this digest is kept, or on its way: one more job like it takes no place in a line.

    :raises QueueUnavailable: Redis is away.
    """
    with unavailable():
        pipe = client.pipeline(transaction=False)
        _ = pipe.exists(pool.key("cache", digest))
        _ = pipe.hexists(pool.key("flight", digest[:FLIGHT_DIGITS]), digest[FLIGHT_DIGITS:32])
        return any(await pipe.execute())


def refunds_key(pool: PoolRef) -> str:
    """The pool's stream of refunds."""
    return pool.key("refunds")
