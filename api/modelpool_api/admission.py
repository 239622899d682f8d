"""Letting a job in: whose it is, what it needs, what it costs, into the queue.

The order matters. Everything that can refuse comes before anything that costs, and the queue comes last, in one step.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from modelpool.documents import CatalogModel
from modelpool.errors import InvalidInput
from modelpool.jobs import Lane, NewJob, canonical_json
from modelpool.queue.port import Enqueued, Outcome
from modelpool.work import expected_work, price
from modelpool_api.context import Context
from modelpool_api.identity.subject import Subject
from modelpool_api.pools import Pool
from modelpool_api.requests import resolve
from modelpool_api.schemas import JobBody

OUTCOMES = ("queued", "cached", "joined", "shed", "refused")
_MAX_KEY = 255


@dataclass(frozen=True, slots=True)
class Asked:
    """What came in: the body, the uploaded file if any, and the Idempotency-Key."""

    body: JobBody
    upload: bytes | None = None
    idempotency_key: str | None = None


async def prepare(context: Context, subject: Subject, asked: Asked) -> tuple[Pool, NewJob]:
    """Everything but the queue: the pool and the complete job.

    :raises InvalidInput: naming the field and the cure.
    :raises ModelNotFound: no pool offers the model.
    """
    body = asked.body
    pool, model = await context.pools.find_model(body.model)
    try:
        return pool, await _prepare(context, subject, asked, pool, model)
    except InvalidInput:
        _count(context, pool, model.name, subject.lane, "refused")
        raise


async def _prepare(context: Context, subject: Subject, asked: Asked, pool: Pool, model: CatalogModel) -> NewJob:
    body = asked.body
    scoped_key = scope_idempotency_key(asked.idempotency_key, subject)
    has_image = body.image is not None or asked.upload is not None
    if body.image is not None and asked.upload is not None:
        raise InvalidInput("send one image: the file, or the field", param="image")
    request = resolve(body, model, seed=choose_seed(body, context), has_image=has_image)
    upload = asked.upload
    if body.image is not None:
        upload = await context.inputs.bytes_of(body.image)
    if upload is not None:
        request = request.model_copy(update={"input": await context.inputs.keep(upload)})
    measured = pool.capacity(model).seconds_per_megapixel_step
    return NewJob(
        id=f"{pool.ref.short_id}-{context.new_token()}",
        subject=subject.id,
        lane=subject.lane,
        request=request,
        work=expected_work(request, measured or model.seconds_per_megapixel_step),
        price=price(request, model.defaults, model.quota_units),
        digest=request.digest(context.settings.engine_version),
        idempotency_key=scoped_key,
        fingerprint=fingerprint(body, asked.upload) if scoped_key is not None else None,
        use_cache=body.cache,
    )


async def enqueue(context: Context, pool: Pool, job: NewJob) -> Enqueued:
    """Put a prepared job into its queue and count it. Nothing has been charged before, nor is if this fails.

    :raises IdempotencyConflict: the key came before with another body.
    """
    try:
        enqueued = await pool.queue.enqueue(job)
    except InvalidInput:
        _count(context, pool, job.request.model, job.lane, "refused")
        raise
    if enqueued.outcome is not Outcome.REPEATED:
        _count(context, pool, job.request.model, job.lane, enqueued.outcome.value)
    return enqueued


def choose_seed(body: JobBody, context: Context) -> int:
    """The seed as asked, or a new one."""
    return body.seed if isinstance(body.seed, int) else context.draw_seed()


def scope_idempotency_key(key: str | None, subject: Subject) -> str | None:
    """The key within its subject's own space: nobody meets another's job by guessing a key.

    :raises InvalidInput: empty, too long, or not printable ASCII.
    """
    if key is None:
        return None
    if not 1 <= len(key) <= _MAX_KEY or not key.isascii() or not key.isprintable():
        raise InvalidInput(f"an Idempotency-Key is 1 to {_MAX_KEY} printable ASCII characters", param="Idempotency-Key")
    return hashlib.sha256(f"{subject.id}\n{key}".encode()).hexdigest()


def fingerprint(body: JobBody, upload: bytes | None) -> str:
    """What makes two requests the same request: the fields as sent, in any order, and the file's bytes."""
    sent = canonical_json(body.model_dump(mode="json", by_alias=True, exclude_unset=True))
    file = hashlib.sha256(upload).hexdigest() if upload is not None else ""
    return hashlib.sha256(f"{sent}\n{file}".encode()).hexdigest()


def announce(context: Context, pool: Pool) -> None:
    """Let every catalog model's counters start at 0: a first request is an increase only from something."""
    for model in pool.snapshot.catalog.models:
        for lane in Lane:
            for outcome in OUTCOMES:
                context.metrics.requests.labels(str(pool.ref), model.name, lane.value, outcome)
        depth = pool.snapshot.depths.get(model.name)
        for lane in Lane:
            waiting = depth.by_lane.get(lane, 0) if depth is not None else 0
            context.metrics.queue_depth.labels(str(pool.ref), model.name, lane.value).set(waiting)


def _count(context: Context, pool: Pool, model: str, lane: Lane, outcome: str) -> None:
    context.metrics.requests.labels(str(pool.ref), model, lane.value, outcome).inc()
