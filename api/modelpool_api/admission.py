"""Letting a job in: whose it is, what it needs, what it costs, into the queue.

The order matters. What can refuse for nothing comes first, then the units are taken, then comes what costs us (storing
an input), and the queue comes last, in one step.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from modelpool.errors import InvalidInput, LimitReached, ModelpoolError, Overloaded
from modelpool.jobs import NewJob
from modelpool.queue.port import Enqueued, Outcome
from modelpool.queue.witness import need_not_be_made, witness_key
from modelpool.work import price
from modelpool_api.behaviour.watching import watch
from modelpool_api.context import Context
from modelpool_api.counting import count
from modelpool_api.drafts import Asked, Draft, prepared
from modelpool_api.identity.subject import Subject
from modelpool_api.overload import Full
from modelpool_api.pools import Pool
from modelpool_api.quota.ceilings import allowance
from modelpool_api.quota.ledger import Charge, Reserved
from modelpool_api.quota.refusals import OFFER, AllowanceUsedUp, TooFast
from modelpool_api.room import fullness, needs_no_room, turn_away
from modelpool_api.seeds import ring_seed

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Admission:
    """A job with its units taken, ready for the queue of its pool."""

    pool: Pool
    job: NewJob
    reserved: Reserved


async def admit(context: Context, subject: Subject, asked: Asked) -> Admission:
    """Everything but the queue: the complete job, its units taken.

    :raises InvalidInput: naming the field and the cure.
    :raises ModelNotFound: no pool offers the model.
    :raises LimitReached: today's allowance, or the burst rule; nothing was charged.
    :raises Overloaded: the lane is full, or reading the image took too long; nothing was charged.
    """
    pool, model = await context.pools.find_model(asked.body.model)
    try:
        draft = await prepared(context, subject, asked, pool, model)
        full = fullness(context, subject.lane, draft)
        if full is not None and not await needs_no_room(context, subject, asked, draft):
            await turn_away(context, subject.lane, draft, full)
        # Counted before the first pause: of a rush, each sees those before it.
        pool.entered.add(draft.job, model.name, subject.lane, draft.work)
        try:
            return await _take(context, subject, asked, draft, full)
        except BaseException:
            pool.entered.remove(draft.job)
            raise
    except (InvalidInput, LimitReached):
        count(context, pool, model.name, subject.lane, "refused")
        raise


async def _take(context: Context, subject: Subject, asked: Asked, draft: Draft, full: Full | None) -> Admission:
    await watch(context, subject, asked, draft)
    reserved = await _reserve(context, subject, asked, draft)
    try:
        job = await _complete(context, subject, asked, draft, reserved)
        # Storing an input may have taken longer than a reservation waits for its job.
        if draft.image is not None and not await context.ledger.extend(reserved.charge):
            raise Overloaded("Too many images are being read just now. Try again in a moment.", retry_after=10)
        if full is not None and not reserved.known:
            # Its own picture, or its place in the ring of seeds, is known only now.
            client = await context.pools.client()
            if not await need_not_be_made(client, draft.pool.ref, job.digest):
                await turn_away(context, subject.lane, draft, full)
        return Admission(draft.pool, job, reserved)
    except BaseException:
        await _give_up(context, reserved)
        raise


async def _reserve(context: Context, subject: Subject, asked: Asked, draft: Draft) -> Reserved:
    """Take the units, and with them the place in the ring of seeds."""
    key = draft.idempotency_key
    ref = draft.pool.ref
    charge = Charge(
        id=context.new_token(),
        price=price(draft.request, draft.model.defaults, draft.model.quota_units),
        witness=witness_key(ref, draft.job, key),
        repeat=f"{ref.short_id}:{key}" if key is not None else None,
        fingerprint=draft.fingerprint or "",
    )
    try:
        return await context.ledger.reserve(
            charge,
            lambda today: allowance(subject, today, context.policy),
            ring=(lambda today: today.name("ring", subject.repeats, draft.words)) if asked.body.seed is None else None,
            offer=OFFER if subject.plan is None and context.policy.accounts.enabled else "",
        )
    except AllowanceUsedUp as refusal:
        context.metrics.quota_refusals.labels(subject.lane.value, refusal.balance.ceiling).inc()
        raise
    except TooFast:
        context.metrics.quota_refusals.labels(subject.lane.value, "burst").inc()
        raise


async def _complete(context: Context, subject: Subject, asked: Asked, draft: Draft, reserved: Reserved) -> NewJob:
    """The job with its seed and its stored input."""
    body, request, version = asked.body, draft.request, context.settings.engine_version
    changes: dict[str, object] = {}
    if body.seed is None:
        changes["seed"] = ring_seed(draft.words, reserved.day.day, subject.repeats, reserved.nth)
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
        fingerprint=draft.fingerprint,
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
        pool.entered.remove(job.id)
        await _give_up(context, admission.reserved)
        count(context, pool, job.request.model, job.lane, "refused")
        raise
    if enqueued.outcome is Outcome.REPEATED:
        # Of equal requests at one moment, another than the one that took the units may have brought the job.
        if enqueued.record.charge_id != job.charge_id:
            await _give_up(context, admission.reserved)
    else:
        count(context, pool, job.request.model, job.lane, enqueued.outcome.value)
    if enqueued.outcome is not Outcome.QUEUED:
        pool.entered.remove(job.id)
    return enqueued


async def _give_up(context: Context, reserved: Reserved) -> None:
    """Return what this request took itself; what a repeated request stands on stays."""
    if reserved.known:
        return
    try:
        await context.ledger.release(reserved.charge)
    except ModelpoolError as error:
        log.warning("a reservation will be returned later: %s", error)
