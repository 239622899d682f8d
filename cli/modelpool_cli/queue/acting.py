"""`modelpool queue cancel`, `drain` and `retry`."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import click

from modelpool.errors import JobIsFinal, JobNotFound, ModelpoolError, QueueUnavailable
from modelpool.jobs import JobRecord, JobState, NewJob
from modelpool.queue.listing import JobSummary
from modelpool.queue.port import Outcome
from modelpool.queue.redis import RedisQueue
from modelpool_cli.queue.looking import Filter, matching
from modelpool_cli.queue.places import CONNECTIONS, Place
from modelpool_cli.queue.shown import Shown, counted
from modelpool_local.exits import CommandFailed, Exit

RETRIED = {JobState.FAILED, JobState.EXPIRED}


async def cancel_by_id(place: Place, shown: Shown, *, jobs: Sequence[str]) -> Exit:
    """Cancel these jobs, one after the other; what cannot be cancelled does not keep the others.

    :raises QueueUnavailable: Redis is away; what was done by then has been told.
    """

    async def cancel(job: str) -> dict[str, Any]:
        return _ended(await place.queue_of(job).cancel(job))

    return await _one_by_one(shown, jobs, cancel, lambda row: ", refunded" if row["refunded"] else "")


async def cancel_matching(place: Place, shown: Shown, *, wanted: Filter, ask: bool) -> Exit:
    """Cancel all that fit, after a look at how many there are. What began to run since then goes on, unless wanted.

    :raises QueueUnavailable: Redis is away; what was done by then has been told.
    """
    found = [job async for _, page in matching(place, wanted) for job in page]
    if ask and found:
        _confirm(found)
    queues = {str(pool): RedisQueue(pool, place.client) for pool in place.pools}
    # Followers first: each would otherwise be put in its leader's place, only to be cancelled there.
    found.sort(key=lambda job: job.state is not JobState.FOLLOWING)
    only_waiting = JobState.RUNNING not in wanted.states
    ended: list[JobRecord] = []
    running = remaining = 0
    away: QueueUnavailable | None = None
    for start in range(0, len(found), CONNECTIONS):
        tried = (
            queues[job.pool].cancel(job.id, only_waiting=only_waiting) for job in found[start : start + CONNECTIONS]
        )
        for outcome in await asyncio.gather(*tried, return_exceptions=True):
            if isinstance(outcome, JobRecord) and outcome.state is JobState.CANCELLED:
                ended.append(outcome)
            elif isinstance(outcome, JobRecord):
                running += 1
            elif isinstance(outcome, QueueUnavailable):
                away = outcome
                remaining += 1
            elif not isinstance(outcome, JobNotFound | JobIsFinal):  # those came to an end by themselves meanwhile
                raise outcome
        if away:
            remaining += len(found[start + CONNECTIONS :])
            break
    refunded = sum(_ended(record)["refunded"] for record in ended)
    if shown.as_json:
        shown.json(
            {
                "found": len(found),
                "cancelled": len(ended),
                "refunded": refunded,
                "running": running,
                "remaining": remaining,
                "jobs": [job.id for job in ended],
            }
        )
    elif not found:
        shown.say("Nothing to cancel.")
    else:
        began = f"; {running:,} began to run meanwhile and {'goes' if running == 1 else 'go'} on" if running else ""
        rest = len(found) - len(ended) - running - remaining
        ended_otherwise = f"; {rest:,} had ended meanwhile" if rest else ""
        left = f"; not done for {counted(remaining, 'job')}" if remaining else ""
        shown.say(f"Cancelled {counted(len(ended), 'job')}, refunded {refunded:,}{began}{ended_otherwise}{left}.")
    if away:
        raise away
    return Exit.OK


async def retry_jobs(place: Place, shown: Shown, *, jobs: Sequence[str]) -> Exit:
    """Enqueue the same again, for nobody's money.

    :raises QueueUnavailable: Redis is away; what was done by then has been told.
    """

    async def retry(job: str) -> dict[str, Any]:
        queue = place.queue_of(job)
        record = await queue.get(job)
        if record.state not in RETRIED:
            raise JobIsFinal(f"job {job} is {record.state}: only failed and expired jobs are retried")
        enqueued = await queue.enqueue(again(record, secrets.token_urlsafe(16)))
        before = enqueued.outcome is Outcome.REPEATED
        return {"id": enqueued.record.id, "of": job, "state": enqueued.record.state, "retriedBefore": before}

    return await _one_by_one(shown, jobs, retry, lambda row: ", retried before" if row["retriedBefore"] else "")


def again(record: JobRecord, token: str) -> NewJob:
    """A new job with the request of one that has failed. ``token``: 128 random bits, as text."""
    return NewJob(
        id=f"{record.id.partition('-')[0]}-{token}",
        subject=record.subject,
        lane=record.lane,
        request=record.request,
        work=record.work,
        price=0,
        digest=record.digest,
        # Subjects' own keys are hashes: none is like this.
        idempotency_key=f"retry of {record.id}",
        fingerprint="",
    )


async def _one_by_one(
    shown: Shown,
    jobs: Sequence[str],
    act: Callable[[str], Awaitable[dict[str, Any]]],
    note: Callable[[dict[str, Any]], str],
) -> Exit:
    """Act on each, and tell what came of it; on the rest too, when Redis goes away midway."""
    done: list[dict[str, Any]] = []
    away: QueueUnavailable | None = None
    for job in jobs:
        try:
            done.append(await act(job))
        except (JobNotFound, JobIsFinal) as error:
            shown.complain(error.message)
            done.append(_refused(job, error))
        except QueueUnavailable as error:
            away = error
            break
    left = jobs[len(done) :]
    if shown.as_json:
        shown.json([*done, *(_refused(job, away) for job in left if away)])
    else:
        for row in done:
            if "error" not in row:
                shown.say(f"{row['id']} {row['state']}{note(row)}")
        if left:
            shown.say(f"Not done for {counted(len(left), 'job')}.")
    if away:
        raise away
    return Exit.REFUSED if any("error" in row for row in done) else Exit.OK


def _confirm(found: Sequence[JobSummary]) -> None:
    """:raises CommandFailed: the answer is no, or nobody is there to ask."""
    models = Counter(f"{job.pool} {job.model}" for job in found)
    running = sum(job.state is JobState.RUNNING for job in found)
    listed = ", ".join(f"{count:,} of {model}" for model, count in models.most_common(5))
    more = ", …" if len(models) > 5 else ""
    question = f"Cancel {counted(len(found), 'job')} ({listed}{more}{f'; {running:,} running' if running else ''})?"
    if not sys.stdin.isatty():
        raise CommandFailed(Exit.USAGE, f"{question} Nobody is here to ask: give --yes")
    if not click.confirm(question, err=True):
        raise CommandFailed(Exit.FAILED, "nothing was cancelled")


def _ended(record: JobRecord) -> dict[str, Any]:
    # A cancelled job was refunded unless it ran.
    refunded = record.charge_id is not None and record.started_at is None
    return {"id": record.id, "state": record.state, "refunded": refunded}


def _refused(job: str, error: ModelpoolError) -> dict[str, Any]:
    return {"id": job, "error": {"code": error.code, "message": error.message}}
