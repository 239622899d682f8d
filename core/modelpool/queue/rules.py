"""Numbers and words that the queue in Redis and its model in Python share."""

from __future__ import annotations

from modelpool.jobs import JobError, Lane

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS

RECORD_MS = DAY_MS
"""A record outlives its job's deadline by this."""
CACHE_MS = 12 * HOUR_MS
"""How long a finished job answers identical ones: half of a result's life, so that whoever gets it from the cache has as
long again to fetch the file."""
REFUNDS_MS = 2 * DAY_MS
"""How long a refund waits for an API to fetch it."""
DEMAND_MS = 25 * HOUR_MS
"""How long demand counters live: the forecast looks back a day."""

MENDED_LEASE_MS = 30_000
"""A running job that nobody would look after again gets a lease of this length; a worker that lives renews it."""
LONGEST_LEASE_MS = 10 * 60_000
"""No worker asks for a lease as long as this: the clock has jumped."""

LOOK_AHEAD = 16
"""Among so many at the head of a line a claim looks for the one whose turn comes first."""

LINES = ("paid", "free")
"""Lanes of one line share it by weight; the first line goes first, always."""

MESSAGE_LENGTH = 2_048
"""Characters of an error's message that are kept: a record has room for three errors, not for a library's whole output."""

WORKER_LOST = JobError(
    code="worker_lost", message="The worker stopped answering while it ran this job, three times in a row."
)
EXPIRED = JobError(code="expired", message="The job did not finish before its deadline.")


def line_of(lane: Lane) -> str:
    """The line that jobs of this lane wait in."""
    return "paid" if lane is Lane.PAID else "free"


def kept(error: JobError) -> JobError:
    """An error as a record keeps it: what is too long of its message is cut off."""
    if len(error.message) <= MESSAGE_LENGTH:
        return error
    return error.model_copy(update={"message": error.message[: MESSAGE_LENGTH - 1] + "…"})
