"""Reading a request's image: when its network's turn has come, while its units are there, and not for nothing."""

from __future__ import annotations

from modelpool.errors import Overloaded
from modelpool_api.context import Context
from modelpool_api.counting import count
from modelpool_api.drafts import Draft
from modelpool_api.identity.subject import Subject
from modelpool_api.inputs import Picture
from modelpool_api.normalising import BrokenPicture
from modelpool_api.quota.ceilings import allowance
from modelpool_api.quota.ledger import Reserved
from modelpool_api.room import is_in_already
from modelpool_api.turns import TooManyWait

_RETRY_SECONDS = 10


async def read_image(context: Context, subject: Subject, draft: Draft, reserved: Reserved) -> Picture | None:
    """The input image, where there is one; a repeated request whose job is in the queue needs it no more.

    :raises BrokenPicture: its pixels were decoded for nothing, and the units stay used.
    :raises InvalidInput: it was refused before a pixel was decoded.
    :raises Overloaded: as many images of who asks are waiting as may come at one moment, or the units have been returned.
    """
    if draft.image is None or (reserved.known and await is_in_already(context, draft)):
        return None
    most = allowance(subject, reserved.day, context.policy).burst.burst
    try:
        async with context.inputs.turns.turn(subject.party, most):
            # The turn may have come late, or an equal request's image was this one, and broken.
            await still_reserved(context, subject, draft, reserved)
            try:
                return await context.inputs.read(draft.image)
            except BrokenPicture as broken:
                # Within the turn: an equal request that comes next shall find the units spent.
                raise await _paid_for(context, draft, reserved, broken) from broken
    except TooManyWait:
        raise _too_many(context, subject, draft, "Too many images from your network are waiting to be read.") from None


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
