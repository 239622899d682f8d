"""Whether a lane has room for a job, and what is answered when it has none."""

from __future__ import annotations

from typing import NoReturn

from modelpool.errors import Overloaded
from modelpool.jobs import Lane
from modelpool.queue.connection import unavailable
from modelpool.queue.witness import need_not_be_made, witness_key
from modelpool_api.context import Context
from modelpool_api.counting import count, refusals
from modelpool_api.drafts import Asked, Draft
from modelpool_api.identity.subject import Subject
from modelpool_api.overload import Full
from modelpool_api.quota.ceilings import allowance
from modelpool_api.quota.refusals import offer
from modelpool_api.seeds import ring_seed


def fullness(context: Context, lane: Lane, draft: Draft) -> Full | None:
    """By how much the lane is full for this job; None while it has room."""
    pool = draft.pool
    limit = context.policy.overload.limit(lane, pool.snapshot.catalog.target_seconds)
    if limit is None or (wait := pool.wait(draft.model, lane)) <= limit:
        return None
    return Full(wait, limit)


async def is_in_already(context: Context, draft: Draft) -> bool:
    """Whether an earlier request with this Idempotency-Key has brought its job: there is nothing left to refuse."""
    if draft.idempotency_key is None:
        return False
    client = await context.pools.client()
    with unavailable():
        return bool(await client.exists(witness_key(draft.pool.ref, draft.job, draft.idempotency_key)))


async def needs_no_room(context: Context, subject: Subject, asked: Asked, draft: Draft) -> bool:
    """Whether the request is in already, or its picture is there or on its way, or that cannot be told for nothing."""
    if await is_in_already(context, draft):
        return True
    if not asked.body.cache:
        return False
    if draft.image is not None:
        return True  # To decode it costs too much for those who may not even have units left.
    request = draft.request
    if asked.body.seed is None:
        words = draft.words
        today, nth = await context.ledger.next_in_ring(lambda today: today.name("same", subject.repeats, words))
        request = request.model_copy(update={"seed": ring_seed(words, today.day, subject.repeats, nth)})
    client = await context.pools.client()
    return await need_not_be_made(client, draft.pool.ref, request.digest(draft.pool.engine))


async def turn_away(context: Context, subject: Subject, draft: Draft, full: Full, *, paced: bool = True) -> NoReturn:
    """Say when to come back. Nothing is charged, and it counts as demand as far as it would have been paid for.

    ``paced``: the burst rule is still to be asked.

    :raises Overloaded: always, but for those who would not have come in either:
    :raises LimitReached: today's allowance, or the burst rule.
    """
    pool, name = draft.pool, draft.model.name
    with refusals(context, subject.lane):
        is_demand = await context.ledger.shed(
            context.new_token(),
            draft.price,
            lambda today: allowance(subject, today, context.policy),
            paced=paced,
            offer=offer(subject.plan, context.policy.accounts),
        )
    count(context, pool, name, subject.lane, "shed" if is_demand else "refused")
    if is_demand:
        await pool.queue.shed(name)
    seconds = full.retry_after(context.draw_seed() % 1000 / 1000)
    raise Overloaded(
        f"{name} is busy: a job would wait about {full.wait:.0f} s, and at most {full.limit:g} s are asked of you. "
        f"Try again in {seconds} s; nothing was charged.",
        retry_after=seconds,
    )
