"""`modelpool queue ls` and `show`."""

from __future__ import annotations

import heapq
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from modelpool.jobs import JobRecord
from modelpool.queue.listing import JobList, JobSummary
from modelpool_cli.queue.places import Place
from modelpool_cli.queue.shown import Shown, counted, iso
from modelpool_local.exits import Exit
from modelpool_local.table import duration


@dataclass(frozen=True, slots=True)
class Filter:
    """Which jobs; None means any."""

    model: str | None = None
    lane: str | None = None
    subject: str | None = None
    states: frozenset[str] = frozenset()

    def fits(self, job: JobSummary) -> bool:
        """Whether the job is meant."""
        return (
            job.state in self.states
            and self.model in (None, job.model)
            and self.lane in (None, job.lane)
            and self.subject in (None, job.subject)
        )


class Group(NamedTuple):
    """What is counted together."""

    pool: str
    model: str
    lane: str
    state: str


@dataclass(slots=True)
class Sum:
    """Jobs of one group: how many, their expected GPU-seconds, and when the oldest came."""

    jobs: int = 0
    work: float = 0.0
    oldest: int | None = None

    def add(self, job: JobSummary) -> None:
        """Count one."""
        self.jobs += 1
        self.work += job.work
        self.oldest = job.enqueued_at if self.oldest is None else min(self.oldest, job.enqueued_at)


async def matching(place: Place, wanted: Filter) -> AsyncIterator[tuple[int, list[JobSummary]]]:
    """Page by page: how many records were read, and those that fit."""
    for pool in place.pools:
        async for page in JobList(pool, place.client).pages():
            yield len(page), [job for job in page if wanted.fits(job)]


async def list_jobs(place: Place, shown: Shown, *, wanted: Filter, limit: int, scan: int) -> Exit:
    """Count the jobs that fit, and show the oldest of them."""
    sums: dict[Group, Sum] = {}
    oldest: list[JobSummary] = []
    read, complete = 0, True
    async for size, fitting in matching(place, wanted):
        if size and read >= scan:
            complete = False
            break
        for job in fitting:
            sums.setdefault(Group(job.pool, job.model, job.lane, job.state), Sum()).add(job)
        oldest = heapq.nsmallest(limit, [*oldest, *fitting], key=lambda job: (job.enqueued_at, job.id))
        read += size
    groups = sorted(sums.items())
    if shown.as_json:
        shown.json(
            {
                "groups": [_group_json(group, total) for group, total in groups],
                "jobs": [_summary_json(job) for job in oldest],
                "read": read,
                "complete": complete,
            }
        )
        return Exit.OK
    if groups:
        rows = [
            (*group, f"{total.jobs:,}", f"{total.work:,.1f} s", duration(place.now - (total.oldest or place.now)))
            for group, total in groups
        ]
        shown.table(("pool", "model", "lane", "state", "jobs", "work", "oldest"), rows)
    else:
        shown.say("No such job.")
    if oldest:
        shown.table(
            ("id", "state", "model", "lane", "subject", "age", "note"), [_row(job, place.now) for job in oldest]
        )
    if not complete:
        shown.say(f"Stopped after {counted(read, 'record')}: there are more; raise --scan to see them.")
    return Exit.OK


async def show_job(place: Place, shown: Shown, *, job: str) -> Exit:
    """Everything that is known of one job."""
    queue = place.queue_of(job)
    record, position = await queue.get(job), await queue.position(job)
    if shown.as_json:
        shown.json(_record_json(record, position))
        return Exit.OK
    request = record.request.model_dump(mode="json", exclude_defaults=True, exclude={"schema_version", "model"})
    rows: list[tuple[str, object]] = [
        ("state", record.state + (" (from the cache)" if record.cached else "")),
        ("pool", record.pool),
        ("model", record.model),
        ("lane", record.lane),
        ("subject", record.subject),
        ("position", None if position is None else counted(position, "job") + " ahead"),
        ("follows", record.leader),
        ("work", f"{record.work:.2f} s"),
        ("price", f"{record.price} ({'charge ' + record.charge_id if record.charge_id else 'charged to nobody'})"),
        ("request", ", ".join(f"{name}={value}" for name, value in request.items())),
        ("attempts", f"{record.attempts}{', runs alone' if record.solo else ''}"),
        ("slot", record.slot),
        ("enqueued", _moment(record.enqueued_at, place.now)),
        ("started", _moment(record.started_at, place.now)),
        ("finished", _moment(record.finished_at, place.now)),
        ("deadline", iso(record.deadline)),
        ("changes", record.seq),
        ("result", record.result.key if record.result else None),
        ("error", f"{record.error.code}: {record.error.message}" if record.error else None),
        ("trace", record.trace),
    ]
    shown.table(("", record.id), [(name, str(value)) for name, value in rows if value not in (None, "")])
    if record.failures:
        shown.say("Earlier attempts:")
        shown.table(
            ("when", "slot", "error"),
            [(iso(f.at) or "", f.slot or "", f"{f.error.code}: {f.error.message}") for f in record.failures],
        )
    return Exit.OK


def _row(job: JobSummary, now: int) -> tuple[str, ...]:
    note = f"{job.error.code}: {job.error.message}" if job.error else f"on {job.slot}" if job.slot else ""
    if job.attempts and not job.error:
        note = ", ".join(filter(None, [note, f"failed {counted(job.attempts, 'time')} so far"]))
    return job.id, job.state, job.model, job.lane, job.subject, duration(now - job.enqueued_at), note


def _moment(at: int | None, now: int) -> str | None:
    return None if at is None else f"{iso(at)} ({duration(now - at)} ago)"


def _group_json(group: Group, total: Sum) -> dict[str, Any]:
    return {**group._asdict(), "jobs": total.jobs, "work": round(total.work, 3), "oldestEnqueuedAt": iso(total.oldest)}


def _summary_json(job: JobSummary) -> dict[str, Any]:
    return _without_nothing(
        {
            "id": job.id,
            "pool": job.pool,
            "state": job.state,
            "model": job.model,
            "lane": job.lane,
            "subject": job.subject,
            "work": job.work,
            "attempts": job.attempts,
            "slot": job.slot,
            "enqueuedAt": iso(job.enqueued_at),
            "finishedAt": iso(job.finished_at),
            "error": job.error.model_dump(by_alias=True) if job.error else None,
        }
    )


def _record_json(record: JobRecord, position: int | None) -> dict[str, Any]:
    return _without_nothing(
        {
            "id": record.id,
            "pool": record.pool,
            "state": record.state,
            "position": position,
            "model": record.model,
            "lane": record.lane,
            "subject": record.subject,
            "work": record.work,
            "price": record.price,
            "charge": record.charge_id,
            "leader": record.leader,
            "cached": record.cached,
            "attempts": record.attempts,
            "solo": record.solo,
            "seq": record.seq,
            "slot": record.slot,
            "enqueuedAt": iso(record.enqueued_at),
            "startedAt": iso(record.started_at),
            "finishedAt": iso(record.finished_at),
            "deadline": iso(record.deadline),
            "request": record.request.model_dump(mode="json", by_alias=True, exclude_none=True),
            "result": record.result.model_dump(mode="json", by_alias=True) if record.result else None,
            "error": record.error.model_dump(by_alias=True) if record.error else None,
            "failures": [{**f.model_dump(by_alias=True), "at": iso(f.at)} for f in record.failures],
            "trace": record.trace,
        }
    )


def _without_nothing(document: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if value is not None}
