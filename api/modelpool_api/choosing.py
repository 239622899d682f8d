"""Which pool a request goes to: the one that has its job already, else the one that would begin soonest."""

from __future__ import annotations

from modelpool.errors import InvalidInput
from modelpool.queue.connection import unavailable
from modelpool.queue.witness import repeat_key
from modelpool_api.context import Context
from modelpool_api.drafts import Asked, scope_idempotency_key
from modelpool_api.identity.subject import Subject
from modelpool_api.pools import Offer, quickest


async def choose(context: Context, subject: Subject, asked: Asked) -> Offer:
    """The pool and model for ``asked``; under an Idempotency-Key the pool whose queue remembers it.

    :raises ModelNotFound: no pool offers the model.
    :raises InvalidInput: the Idempotency-Key is none.
    """
    offers = await context.pools.offers(asked.body.model)
    key = scope_idempotency_key(asked.idempotency_key, subject)
    if key is None or len(offers) == 1:
        return quickest(offers)
    client = await context.pools.client()
    with unavailable():
        pipe = client.pipeline(transaction=False)
        for pool, _ in offers:
            _ = pipe.exists(repeat_key(pool.ref, key))
        found = await pipe.execute()
    known = [offer for offer, there in zip(offers, found, strict=True) if there]
    return known[0] if known else quickest(offers)


async def holder(context: Context, subject: Subject, asked: Asked, witness: str) -> Offer:
    """The pool whose queue will have ``witness``: an equal request has taken the units for it.

    :raises InvalidInput: it offers the model no more.
    """
    key = scope_idempotency_key(asked.idempotency_key, subject)
    for pool, model in await context.pools.offers(asked.body.model):
        if key is not None and repeat_key(pool.ref, key) == witness:
            return pool, model
    raise InvalidInput(
        "The job of this Idempotency-Key is in a pool that does not offer the model any more: send a new key.",
        param="Idempotency-Key",
    )
