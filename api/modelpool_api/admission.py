"""Letting a job in: whose it is, what it needs, what it costs, into the queue.

The order matters. What can refuse for nothing comes first, then the units are taken, then comes what costs us (storing
an input), and the queue comes last, in one step.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial

from modelpool.documents import CatalogModel
from modelpool.errors import InvalidInput, LimitReached, ModelpoolError, Overloaded
from modelpool.jobs import NewJob
from modelpool.queue.port import Enqueued, Outcome
from modelpool.queue.witness import need_not_be_made, witness_key
from modelpool_api.behaviour.watching import answer, notice, watched
from modelpool_api.choosing import choose, holder
from modelpool_api.context import Context
from modelpool_api.counting import count, refusals
from modelpool_api.drafts import Asked, Draft, prepared
from modelpool_api.identity.subject import Subject
from modelpool_api.inputs import Picture
from modelpool_api.overload import Full
from modelpool_api.pools import Pool
from modelpool_api.quota.ceilings import allowance
from modelpool_api.quota.ledger import Charge, Elsewhere, Reserved, Seen, Unusual
from modelpool_api.quota.refusals import offer
from modelpool_api.reading import read_image, still_reserved
from modelpool_api.room import fullness, needs_no_room, turn_away
from modelpool_api.seeds import ring_seed

log = logging.getLogger(__name__)

_POOLS_TRIED = 3


@dataclass(frozen=True, slots=True)
class Admission:
    """A job with its units taken, ready for the queue of its pool."""

    pool: Pool
    job: NewJob
    reserved: Reserved


async def admit(context: Context, subject: Subject, asked: Asked) -> Admission:
    """Everything but the queue: the complete job, its units taken.

    :raises InvalidInput: naming the field and the cure; a :class:`BrokenPicture` stays charged.
    :raises ModelNotFound: no pool offers the model.
    :raises LimitReached: today's allowance, or the burst rule; nothing was charged.
    :raises Overloaded: the lane is full, or reading the image took too long; nothing was charged.
    """
    chosen = await choose(context, subject, asked)
    for _ in range(_POOLS_TRIED):
        try:
            return await _admit_to(context, subject, asked, *chosen)
        except Elsewhere as elsewhere:
            chosen = await holder(context, subject, asked, elsewhere.witness)
    count(context, chosen[0], chosen[1].name, subject.lane, "refused")
    raise Overloaded("Equal requests come and go too fast. Try again in a moment.", retry_after=1)


async def _admit_to(context: Context, subject: Subject, asked: Asked, pool: Pool, model: CatalogModel) -> Admission:
    try:
        draft = await prepared(context, subject, asked, pool, model)
        full = fullness(context, subject.lane, draft)
        if full is not None and not await needs_no_room(context, subject, asked, draft):
            await turn_away(context, subject, draft, full)
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
    try:
        with watched(context, subject, draft, await context.ledger.days.today()) as seen:
            reserved = await _reserve(context, subject, asked, draft, seen)
    except Unusual as unusual:
        await answer(context, subject, asked, draft, unusual.counts)
        reserved = await _reserve(context, subject, asked, draft, (), paced=False)
    try:
        picture = await read_image(context, subject, draft, reserved)
        job = _complete(subject, asked, draft, reserved, picture)
        # Its own picture, or its place in the ring of seeds, is known only now.
        has_place = full is None or reserved.known or await _need_not_be_made(context, draft, job)
        if picture is not None and has_place:
            # Reading may have taken longer than a reservation waits for its job, and so may storing.
            await still_reserved(context, subject, draft, reserved)
            await context.inputs.keep(picture)
            await still_reserved(context, subject, draft, reserved)
    except BaseException:
        await _give_up(context, reserved)
        raise
    if full is not None and not has_place:
        await _give_up(context, reserved)
        await turn_away(context, subject, draft, full, paced=False)
    return Admission(draft.pool, job, reserved)


async def _need_not_be_made(context: Context, draft: Draft, job: NewJob) -> bool:
    return await need_not_be_made(await context.pools.client(), draft.pool.ref, job.digest)


async def _reserve(
    context: Context, subject: Subject, asked: Asked, draft: Draft, seen: tuple[Seen, ...], *, paced: bool = True
) -> Reserved:
    """Take the units, and with them the place in the ring of seeds.

    :raises Unusual: more has been seen of whoever asks than is let through without a word.
    :raises Elsewhere: an equal request has taken them for its job in another pool.
    """
    key = draft.idempotency_key
    charge = Charge(
        id=context.new_token(),
        price=draft.price,
        witness=witness_key(draft.pool.ref, draft.job, key),
        repeat=key,
        fingerprint=draft.fingerprint or "",
    )
    with refusals(context, subject.lane):
        return await context.ledger.reserve(
            charge,
            lambda today: allowance(subject, today, context.policy),
            ring=(lambda today: today.name("same", subject.repeats, draft.words)) if asked.body.seed is None else None,
            paced=paced,
            offer=offer(subject.plan, context.policy.accounts),
            watched=seen,
            tell=partial(notice, context),
        )


def _complete(subject: Subject, asked: Asked, draft: Draft, reserved: Reserved, picture: Picture | None) -> NewJob:
    """The job with its seed and its input."""
    body, request = asked.body, draft.request
    changes: dict[str, object] = {}
    if body.seed is None:
        changes["seed"] = ring_seed(draft.words, reserved.day.day, subject.repeats, reserved.nth)
    if picture is not None:
        changes["input"] = picture.key
    request = request.model_copy(update=changes)
    return NewJob(
        id=draft.job,
        subject=subject.id,
        lane=subject.lane,
        request=request,
        work=draft.work,
        price=draft.price,
        digest=request.digest(draft.pool.engine),
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
    except BaseException as error:
        # Where only the answer was lost, the next look at the queue sees the job.
        pool.entered.remove(job.id)
        if isinstance(error, InvalidInput):
            await _give_up(context, admission.reserved)
            count(context, pool, job.request.model, job.lane, "refused")
        raise
    if enqueued.outcome is Outcome.REPEATED:
        # Of equal requests at one moment, another than the one that took the units may have brought the job.
        if enqueued.record.charge_id != job.charge_id:
            await _give_up(context, admission.reserved)
    else:
        count(context, pool, job.request.model, job.lane, enqueued.outcome.value)
    if enqueued.outcome is Outcome.QUEUED:
        pool.entered.queued(job.id)
    else:
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
