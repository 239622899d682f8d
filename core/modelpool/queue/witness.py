"""What in Redis shows that a job has been enqueued, or that it need not be made: for those who let it in."""

from __future__ import annotations

from modelpool.queue.records import short_hash
from modelpool.resources.pool import PoolRef


def witness_key(pool: PoolRef, job: str, idempotency_key: str | None = None) -> str:
    """A key that exists as soon as the job is in the queue, and for a day longer than it can live.

    With an idempotency key it is that key's: the first of several equal requests has brought the job.
    """
    if idempotency_key is not None:
        return pool.key("idempotency", short_hash(idempotency_key))
    return pool.key("job", job)


def answer_keys(pool: PoolRef, digest: str) -> tuple[str, str]:
    """Keys of which one exists while a job with this digest has not to be made: its result is kept, or it is on its way."""
    return pool.key("cache", digest), pool.key("flight", digest[:32])


def refunds_key(pool: PoolRef) -> str:
    """The pool's stream of refunds."""
    return pool.key("refunds")
