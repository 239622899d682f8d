"""Between the queue's hashes in Redis and the types of :mod:`modelpool.jobs`."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Iterator, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from pydantic import ValidationError

from modelpool.jobs import (
    JobError,
    JobFailure,
    JobRecord,
    JobRequest,
    JobResult,
    JobState,
    Lane,
    NewJob,
)
from modelpool.queue.port import Batch, ClaimedJob, ModelDepth
from modelpool.queue.scripts import SLICE, SLICES

_CLAIMED_FIELDS = 9
_LANES = {lane.value: lane for lane in Lane}
_BODY_SLICES = ("body", *(f"b{number}" for number in range(2, SLICES + 1)))


def short_hash(text: str) -> str:
    """Eighty bits in 14 characters: enough to tell apart what is queued at one time, short enough for a compact hash."""
    return urlsafe_b64encode(blake2b(text.encode(), digest_size=10).digest()).decode().rstrip("=")


def short_keys(request: JobRequest) -> tuple[str, str]:
    """Who may share a forward pass with it when parameters are mixed, and who when they are not."""
    return _short_keys(request.shape_key(), request.parameter_key())


@lru_cache(maxsize=1024)
def _short_keys(shape: str, parameters: str) -> tuple[str, str]:
    """Few different ones are in use at one time."""
    return short_hash(shape), short_hash(f"{shape}\n{parameters}")


def fields_of(job: NewJob, key: str) -> list[str | bytes]:
    """What the scripts need of a new job: fields and values in turn. Floats keep all their digits."""
    request = job.request
    fields: list[str | bytes] = [
        "lane", job.lane.value,
        "subject", job.subject,
        "model", request.model,
        "work", repr(job.work),
        "price", str(job.price),
        "digest", job.digest,
        "key", key,
    ]  # fmt: skip
    if job.charge_id is not None:
        fields += ["charge", job.charge_id]
    if job.trace is not None:
        fields += ["trace", job.trace]
    _put_body(fields, request.to_json().encode())
    return fields


def _put_body(fields: list[str | bytes], body: bytes) -> None:
    """The request, in slices that Redis keeps compact when it is long. It never changes."""
    size = SLICE if len(body) <= SLICE * SLICES else -(-len(body) // SLICES)
    for name, start in zip(_BODY_SLICES, range(0, len(body), size), strict=False):
        fields += name, body[start : start + size]


def new_record(
    job: NewJob,
    pool: str,
    now: int,
    state: JobState,
    *,
    leader: str | None = None,
    result: JobResult | None = None,
) -> JobRecord:
    """The record of a job that the enqueue script has just written; spares reading it back."""
    return JobRecord(
        id=job.id,
        pool=pool,
        subject=job.subject,
        lane=job.lane,
        state=state,
        model=job.request.model,
        request=job.request,
        work=job.work,
        price=job.price,
        charge_id=job.charge_id,
        digest=job.digest,
        seq=1,
        leader=leader,
        cached=result is not None,
        deadline=now + job.deadline_ms,
        enqueued_at=now,
        finished_at=now if result is not None else None,
        result=result,
        trace=job.trace,
    )


def read_record(job: str, pool: str, leader: str | None, flat: Sequence[str]) -> JobRecord:
    """A record from its hash. An empty value means none: Redis hashes know no null."""
    fields = dict(pairs(flat))
    result, error, failures = fields.get("result"), fields.get("error"), fields.get("failures")
    return JobRecord(
        id=job,
        pool=pool,
        subject=fields["subject"],
        lane=Lane(fields["lane"]),
        state=JobState(fields["state"]),
        model=fields["model"],
        request=JobRequest.model_validate_json(fields["body"]),
        work=float(fields["work"]),
        price=int(fields["price"]),
        charge_id=fields.get("charge"),
        digest=fields["digest"],
        seq=int(fields["seq"]),
        attempts=int(fields["attempts"]),
        solo=fields.get("solo") == "1",
        leader=leader,
        cached=fields.get("cached") == "1",
        deadline=int(fields["deadline"]),
        enqueued_at=int(fields["enqueued"]),
        started_at=_optional_int(fields.get("started")),
        finished_at=_optional_int(fields.get("finished")),
        result=JobResult.model_validate_json(result) if result else None,
        error=JobError.model_validate_json(error) if error else None,
        failures=tuple(map(_read_failure, failures.split("\n"))) if failures else (),
        trace=fields.get("trace"),
        slot=fields.get("slot") or None,
    )


def _read_failure(line: str) -> JobFailure:
    at, slot, error = line.split(" ", 2)
    return JobFailure(at=int(at), slot=slot or None, error=JobError.model_validate_json(error))


def read_batch(lease: str, answer: Sequence[Any]) -> tuple[Batch, list[str]]:
    """A batch from the claim script's flat answer, and the ids of those in it whose request cannot be read."""
    claimed_at, *values = answer
    jobs, unreadable = [], []
    for i in range(0, len(values), _CLAIMED_FIELDS):
        try:
            jobs.append(_read_claimed(values[i : i + _CLAIMED_FIELDS]))
        except ValidationError:
            unreadable.append(values[i])
    return Batch(lease=lease, jobs=tuple(jobs), claimed_at=int(claimed_at)), unreadable


def _read_claimed(row: Sequence[Any]) -> ClaimedJob:
    job, body, lane, work, attempts, solo, enqueued, deadline, trace = row
    return ClaimedJob(
        id=job,
        request=JobRequest.model_validate_json(body),
        lane=_LANES[lane],
        work=float(work),
        attempts=int(attempts),
        solo=solo == "1",
        enqueued_at=int(enqueued),
        deadline=int(deadline),
        trace=trace or None,
    )


def read_depth(row: Sequence[str]) -> tuple[str, ModelDepth]:
    """A model's name and what waits and runs for it, from one row of the depths script."""
    model, *rest = row
    counts = {what: int(count) for what, count in pairs(rest) if what != "oldest"}
    by_lane = {lane: count for lane in Lane if (count := counts.get(lane, 0))}
    return model, ModelDepth(
        queued=sum(by_lane.values()),
        running=counts.get("running", 0),
        queued_work=counts.get("work", 0) / 1000,
        oldest_enqueued_at=min((int(at) for what, at in pairs(rest) if what == "oldest"), default=None),
        by_lane=by_lane,
    )


def pairs(flat: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Fields and values of a flat Redis answer."""
    return zip(flat[::2], flat[1::2], strict=True)


def _optional_int(text: str | None) -> int | None:
    return int(text) if text else None
