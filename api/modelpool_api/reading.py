"""Reading a request's image: when its network's turn has come, while its units are there, and not for nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from redis.exceptions import LockError

from modelpool.errors import Overloaded
from modelpool.queue.connection import unavailable
from modelpool_api.context import Context
from modelpool_api.counting import count
from modelpool_api.door_scripts import PREFIX
from modelpool_api.drafts import Draft
from modelpool_api.identity.subject import Subject
from modelpool_api.inputs import Picture
from modelpool_api.normalising import BrokenPicture
from modelpool_api.quota.ceilings import allowance
from modelpool_api.quota.ledger import Reserved
from modelpool_api.quota.scripts import WAIT_MS
from modelpool_api.room import is_in_already
from modelpool_api.turns import TooManyWait

_RETRY_SECONDS = 10


async def read_image(context: Context, subject: Subject, draft: Draft, reserved: Reserved) -> Picture | None:
    """The input image, where there is one; a repeated request whose job is in the queue needs it no more.

    :raises BrokenPicture: its pixels were decoded for nothing, and the units stay used.
    :raises InvalidInput: it was refused before a pixel was decoded.
    :raises Overloaded: as many images of who asks are waiting as may come at one moment, another process is reading one for
        the same units, or the units have been returned.
    """
    if draft.image is None or (reserved.known and await is_in_already(context, draft)):
        return None
    most = allowance(subject, reserved.day, context.policy).burst.burst
    try:
        async with context.inputs.turns.turn(subject.party, most), _nowhere_else(context, draft, reserved):
            # The turn may have come late, or an equal request's image was this one, and broken.
            await still_reserved(context, subject, draft, reserved)
            try:
                return await context.inputs.read(draft.image)
            except BrokenPicture as broken:
                # Before the turn goes on: the next one may have an equal request, and would find the units unspent.
                raise await _paid_for(context, draft, reserved, broken) from broken
    except TooManyWait:
        raise _too_many(context, subject, draft, "Too many images from your network are waiting to be read.") from None
    except _ReadElsewhere:
        raise _too_many(context, subject, draft, "The image of an equal request is being read just now.") from None


class _ReadElsewhere(Exception):
    """Another process reads an image for the same units."""


@asynccontextmanager
async def _nowhere_else(context: Context, draft: Draft, reserved: Reserved) -> AsyncIterator[None]:
    """Within the block no other process reads an image for the units of this request; turns are of one process only.

    :raises _ReadElsewhere: one does.
    :raises QueueUnavailable: Redis is away.
    """
    if draft.idempotency_key is None:  # nobody else stands on these units
        yield
        return
    client = await context.pools.client()
    # As long as the units wait for their job; of a process that died nobody has to wait longer.
    lock = client.lock(f"{PREFIX}:reading:{reserved.charge}", timeout=WAIT_MS / 1000, blocking=False)
    with unavailable():
        if not await lock.acquire():
            raise _ReadElsewhere
    try:
        yield
    finally:
        with suppress(LockError), unavailable():
            await lock.release()


async def still_reserved(context: Context, subject: Subject, draft: Draft, reserved: Reserved) -> None:
    """Let the units wait anew for their job.

    :raises Overloaded: they are there no more. It is no demand: more slots would not read images faster.
    """
    if not await context.ledger.extend(reserved.charge):
        raise _too_many(context, subject, draft, "Too many images are being read just now.")


def _too_many(context: Context, subject: Subject, draft: Draft, why: str) -> Overloaded:
    count(context, draft.pool, draft.model.name, subject.lane, "refused")
    return Overloaded(f"{why} Try again in a moment.", retry_after=_RETRY_SECONDS)


async def _paid_for(context: Context, draft: Draft, reserved: Reserved, broken: BrokenPicture) -> BrokenPicture:
    """Keep the units of a request whose image was decoded for nothing."""
    if not await context.ledger.spend(reserved.charge):
        return broken
    units = f"{draft.price} unit{'s' if draft.price != 1 else ''}"
    paid = BrokenPicture(
        f"{broken.message}. It broke only after its pixels had been decoded, so the {units} of this request stay used.",
        param=broken.param,
    )
    paid.headers = reserved.balance.headers()
    return paid
