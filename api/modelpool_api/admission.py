"""Letting a job in: whose it is, what it needs, what it costs, into the queue.

The order matters. What can refuse for nothing comes first, then the units are taken, then comes what costs us (storing
an input), and the queue comes last, in one step.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from typing import NoReturn

from modelpool.documents import CatalogModel
from modelpool.errors import InvalidInput, LimitReached, ModelpoolError, Overloaded
from modelpool.jobs import JobRequest, Lane, NewJob, canonical_json
from modelpool.queue.connection import unavailable
from modelpool.queue.port import Enqueued, Outcome
from modelpool.queue.witness import need_not_be_made, witness_key
from modelpool.work import expected_work, price
from modelpool_api import overload
from modelpool_api.behaviour.evidence import observe
from modelpool_api.behaviour.rules import LooksUnusual, Pattern, noticed
from modelpool_api.behaviour.sightings import sighting_of
from modelpool_api.challenges import WHY_NOT, Verdict
from modelpool_api.context import Context
from modelpool_api.identity.subject import Subject
from modelpool_api.pools import Pool
from modelpool_api.quota.ceilings import allowance
from modelpool_api.quota.ledger import Charge, Reserved
from modelpool_api.quota.refusals import AllowanceUsedUp, TooFast
from modelpool_api.requests import resolve
from modelpool_api.schemas import JobBody
from modelpool_api.seeds import ring_seed, words_digest

log = logging.getLogger(__name__)

OFFER = " A free account has an allowance of its own: POST /v1/accounts."
OUTCOMES = ("queued", "cached", "joined", "shed", "refused")
_MAX_KEY = 255


@dataclass(frozen=True, slots=True)
class Asked:
    """What came in: the body, the uploaded file if any, the Idempotency-Key, and the solution of a challenge."""

    body: JobBody
    upload: bytes | None = None
    idempotency_key: str | None = None
    solution: str | None = None


@dataclass(frozen=True, slots=True)
class Admission:
    """A job with its units taken, ready for the queue of its pool."""

    pool: Pool
    job: NewJob
    reserved: Reserved


@dataclass(frozen=True, slots=True)
class _Draft:
    """A request that is in order, before it has cost anything: without its seed and its stored input."""

    pool: Pool
    model: CatalogModel
    job: str
    request: JobRequest
    image: bytes | None
    idempotency_key: str | None
    work: float


async def admit(context: Context, subject: Subject, asked: Asked) -> Admission:
    """Everything but the queue: the complete job, its units taken.

    :raises InvalidInput: naming the field and the cure.
    :raises ModelNotFound: no pool offers the model.
    :raises LimitReached: today's allowance, or the burst rule; nothing was charged.
    :raises Overloaded: the lane is full; nothing was charged.
    """
    pool, model = await context.pools.find_model(asked.body.model)
    try:
        draft = await _draft(context, subject, asked, pool, model)
        full = _full(context, subject.lane, draft)
        if full is not None and not await _needs_no_room(context, subject, asked, draft):
            await _turn_away(context, subject.lane, draft, full)
        # Counted before the first pause: of a rush, each sees those before it.
        pool.entered[draft.job] = (model.name, subject.lane, draft.work)
        try:
            return await _take(context, subject, asked, draft, full)
        except BaseException:
            pool.entered.pop(draft.job, None)
            raise
    except (InvalidInput, LimitReached):
        _count(context, pool, model.name, subject.lane, "refused")
        raise


async def _take(
    context: Context, subject: Subject, asked: Asked, draft: _Draft, full: overload.Full | None
) -> Admission:
    await _watch(context, subject, asked, draft)
    reserved = await _reserve(context, subject, asked, draft)
    try:
        job = await _complete(context, subject, asked, draft, reserved)
        if full is not None and not reserved.known:
            # Its own picture, or its place in the ring of seeds, is known only now.
            client = await context.pools.client()
            if not await need_not_be_made(client, draft.pool.ref, job.digest):
                await _turn_away(context, subject.lane, draft, full)
        return Admission(draft.pool, job, reserved)
    except BaseException:
        await _give_up(context, reserved)
        raise


async def _draft(context: Context, subject: Subject, asked: Asked, pool: Pool, model: CatalogModel) -> _Draft:
    body = asked.body
    scoped_key = scope_idempotency_key(asked.idempotency_key, subject)
    if body.image is not None and asked.upload is not None:
        raise InvalidInput("send one image: the file, or the field", param="image")
    seed = body.seed if isinstance(body.seed, int) else context.draw_seed()
    request = resolve(body, model, seed=seed, has_image=body.image is not None or asked.upload is not None)
    image = await context.inputs.bytes_of(body.image) if body.image is not None else asked.upload
    measured = pool.capacity(model).seconds_per_megapixel_step
    work = expected_work(request, measured or model.seconds_per_megapixel_step)
    return _Draft(pool, model, f"{pool.ref.short_id}-{context.new_token()}", request, image, scoped_key, work)


def _full(context: Context, lane: Lane, draft: _Draft) -> overload.Full | None:
    """By how much the lane is full for this job; None while it has room."""
    pool = draft.pool
    limit = context.policy.overload.limit(lane, pool.snapshot.catalog.target_seconds)
    if limit is None or (wait := pool.wait(draft.model, lane)) <= limit:
        return None
    return overload.Full(wait, limit)


async def _needs_no_room(context: Context, subject: Subject, asked: Asked, draft: _Draft) -> bool:
    """Whether the request is in already, or its picture is there or on its way, or that cannot be told for nothing."""
    client = await context.pools.client()
    if draft.idempotency_key is not None:
        with unavailable():
            if await client.exists(witness_key(draft.pool.ref, draft.job, draft.idempotency_key)):
                return True
    if not asked.body.cache:
        return False
    if draft.image is not None:
        return True  # To decode it costs too much for those who may not even have units left.
    version, request = context.settings.engine_version, draft.request
    if asked.body.seed is None:
        words = words_digest(request, version, None)
        today, nth = await context.ledger.next_in_ring(lambda today: today.name("ring", subject.repeats, words))
        request = request.model_copy(update={"seed": ring_seed(words, today.day, subject.repeats, nth)})
    return await need_not_be_made(client, draft.pool.ref, request.digest(version))


async def _turn_away(context: Context, lane: Lane, draft: _Draft, full: overload.Full) -> NoReturn:
    """Say when to come back. Nothing is charged, and it counts as demand."""
    name = draft.model.name
    _count(context, draft.pool, name, lane, "shed")
    await draft.pool.queue.shed(name)
    seconds = full.retry_after(context.draw_seed() % 1000 / 1000)
    raise Overloaded(
        f"{name} is busy: a job would wait about {full.wait:.0f} s, and at most {full.limit:g} s are asked of you. "
        f"Try again in {seconds} s; nothing was charged.",
        retry_after=seconds,
    )


async def _watch(context: Context, subject: Subject, asked: Asked, draft: _Draft) -> None:
    """Notice patterns that no person has in what comes without credentials; answer them where that is enforced."""
    rules, signals, recorder = context.policy.behaviour, subject.signals, context.recorder
    if subject.plan is not None or signals is None or (rules.mode == "off" and recorder is None):
        return
    words = words_digest(draft.request, context.settings.engine_version, draft.image)
    today = await context.ledger.days.today()
    sighting = sighting_of(today, context.now_ms(), subject.repeats, signals, words, draft.job)
    if recorder is not None:
        recorder.record(sighting)
    if rules.mode == "off":
        return
    patterns = noticed(await observe(context.pools.client, sighting), rules)
    for pattern in patterns:
        context.metrics.unusual_use.labels(pattern.value, rules.mode).inc()
    if patterns and rules.mode == "enforce":
        await _answer(context, subject, asked, patterns[0])


async def _answer(context: Context, subject: Subject, asked: Asked, pattern: Pattern) -> None:
    """Refuse gently, or let through who has solved a challenge.

    :raises LooksUnusual: with a new challenge, where those are given.
    """
    offer = OFFER if context.policy.accounts.enabled else ""
    if context.policy.behaviour.answer == "refuse":
        raise LooksUnusual(pattern, offer)
    verdict = await context.challenges.check(asked.solution, subject) if asked.solution is not None else None
    if verdict is Verdict.SOLVED:
        return
    challenge = await context.challenges.issue(subject)
    raise LooksUnusual(pattern, offer, challenge=challenge, why_not=WHY_NOT[verdict] if verdict is not None else None)


async def _reserve(context: Context, subject: Subject, asked: Asked, draft: _Draft) -> Reserved:
    """Take the units, and with them the place in the ring of seeds."""
    words = words_digest(draft.request, context.settings.engine_version, draft.image)
    key = draft.idempotency_key
    ref = draft.pool.ref
    charge = Charge(
        id=context.new_token(),
        price=price(draft.request, draft.model.defaults, draft.model.quota_units),
        witness=witness_key(ref, draft.job, key),
        repeat=f"{ref.short_id}:{key}" if key is not None else None,
    )
    try:
        return await context.ledger.reserve(
            charge,
            lambda today: allowance(subject, today, context.policy),
            ring=(lambda today: today.name("ring", subject.repeats, words)) if asked.body.seed is None else None,
            offer=OFFER if subject.plan is None and context.policy.accounts.enabled else "",
        )
    except AllowanceUsedUp as refusal:
        context.metrics.quota_refusals.labels(subject.lane.value, refusal.balance.ceiling).inc()
        raise
    except TooFast:
        context.metrics.quota_refusals.labels(subject.lane.value, "burst").inc()
        raise


async def _complete(context: Context, subject: Subject, asked: Asked, draft: _Draft, reserved: Reserved) -> NewJob:
    """The job with its seed and its stored input."""
    body, request, version = asked.body, draft.request, context.settings.engine_version
    changes: dict[str, object] = {}
    if body.seed is None:
        words = words_digest(request, version, draft.image)
        changes["seed"] = ring_seed(words, reserved.day.day, subject.repeats, reserved.nth)
    if draft.image is not None:
        changes["input"] = await context.inputs.keep(draft.image)
    request = request.model_copy(update=changes)
    model = draft.model
    return NewJob(
        id=draft.job,
        subject=subject.id,
        lane=subject.lane,
        request=request,
        work=draft.work,
        price=price(request, model.defaults, model.quota_units),
        digest=request.digest(version),
        charge_id=reserved.charge,
        idempotency_key=draft.idempotency_key,
        fingerprint=fingerprint(body, asked.upload) if draft.idempotency_key is not None else None,
        use_cache=body.cache,
    )


async def enqueue(context: Context, admission: Admission) -> Enqueued:
    """Put an admitted job into its queue and count it.

    A job that does not come to be gives its units back: at once where the queue says so, and within a minute where the
    queue does not answer.

    :raises IdempotencyConflict: the key came before with another body.
    """
    pool, job = admission.pool, admission.job
    try:
        enqueued = await pool.queue.enqueue(job)
    except InvalidInput:
        pool.entered.pop(job.id, None)
        await _give_up(context, admission.reserved)
        _count(context, pool, job.request.model, job.lane, "refused")
        raise
    if enqueued.outcome is Outcome.REPEATED:
        # Of equal requests at one moment, another than the one that took the units may have brought the job.
        if enqueued.record.charge_id != job.charge_id:
            await _give_up(context, admission.reserved)
    else:
        _count(context, pool, job.request.model, job.lane, enqueued.outcome.value)
    if enqueued.outcome is not Outcome.QUEUED:
        pool.entered.pop(job.id, None)
    return enqueued


async def _give_up(context: Context, reserved: Reserved) -> None:
    """Return what this request took itself; what a repeated request stands on stays."""
    if reserved.known:
        return
    try:
        await context.ledger.release(reserved.charge)
    except ModelpoolError as error:
        log.warning("a reservation will be returned later: %s", error)


def scope_idempotency_key(key: str | None, subject: Subject) -> str | None:
    """The key within its subject's own space: nobody meets another's job by guessing a key.

    :raises InvalidInput: empty, too long, or not printable ASCII.
    """
    if key is None:
        return None
    if not 1 <= len(key) <= _MAX_KEY or not key.isascii() or not key.isprintable():
        raise InvalidInput(f"an Idempotency-Key is 1 to {_MAX_KEY} printable ASCII characters", param="Idempotency-Key")
    return hashlib.sha256(f"{subject.repeats}\n{key}".encode()).hexdigest()


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
