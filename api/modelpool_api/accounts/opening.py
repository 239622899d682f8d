"""Opening a free account: at a click, without telling who one is, and without more for today than others have.

A key is shown once and kept nowhere, so the answer that has it must not be lost for good. Who sends an Idempotency-Key may
send the request again: the account stays the same one and gets a new key, and the lost one opens nothing any more.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from modelpool.errors import Forbidden, InvalidInput, ModelpoolError, Overloaded
from modelpool_api.accounts.keys import KeyRecord, holder
from modelpool_api.accounts.store import KeyNotFound, id_of_record, new_id, record_key
from modelpool_api.challenges import WHY_NOT, Verdict
from modelpool_api.context import Context
from modelpool_api.drafts import scope_idempotency_key
from modelpool_api.identity.ring import DayKey
from modelpool_api.identity.subject import Subject
from modelpool_api.quota.ceilings import Allowance, account_counter, new_account, taken_over
from modelpool_api.quota.ledger import Charge, Elsewhere

log = logging.getLogger(__name__)

SHORTEST_KEY = 16
"""Characters of an Idempotency-Key: whoever knows it, and is not told apart from its sender, gets the account."""
LOST_MS = 600_000
"""So long after an account was made its answer may be asked for again."""


@dataclass(frozen=True, slots=True)
class Opened:
    """An account: its record, the key to show once, the units of today that it has used or begins with, and whether the
    request is one that made it before."""

    record: KeyRecord
    key: str
    used: int
    again: bool = False


class ChallengeRequired(Forbidden):
    """Accounts cost a proof of work here."""

    code = "challenge_required"
    title = "Challenge required"

    def __init__(self, challenge: Mapping[str, Any], why_not: str | None) -> None:
        super().__init__(
            f"{why_not or 'An account costs a moment of computing here.'} Solve the challenge in this answer (ALTCHA) and "
            "send the request again with the solution as Modelpool-Solution."
        )
        self.challenge = challenge


async def open_account(
    context: Context, subject: Subject, solution: str | None = None, idempotency_key: str | None = None
) -> Opened:
    """Make an account for whoever asks. What they have used today without one counts as used, and it takes over the rest.

    The same ``idempotency_key`` within ten minutes brings the same account, with a new key.

    :raises Forbidden: accounts are switched off.
    :raises ChallengeRequired: they cost a proof of work, and ``solution`` is none.
    :raises InvalidInput: who asks has a key already, or the ``idempotency_key`` is none.
    :raises LimitReached: one a day for each, a few for a network.
    :raises Overloaded: an equal request is being answered.
    :raises QueueUnavailable: Redis is away; no account was made.
    """
    rules, signals = context.policy.accounts, subject.signals
    if not rules.enabled:
        raise Forbidden("accounts are not given out here: ask the operator for a key")
    if subject.plan is not None or signals is None:
        raise InvalidInput("you have a key already: leave the Authorization header away to make another account")
    repeat = await _repeat(context, subject, idempotency_key)
    burst = context.policy.anonymous.burst

    def pace(today: DayKey) -> str:
        return f"new:{today.name('network', signals.origin.prefix)}"

    if rules.proof_of_work:
        # Before the work: looking at a solution is work of ours.
        await context.ledger.pace(context.new_token(), burst, pace)
        await _require_work(context, subject, solution)
    id = new_id()
    charge = Charge(context.new_token(), 1, witness=record_key(id), repeat=repeat)
    try:
        reserved = await context.ledger.reserve(
            charge,
            lambda today: Allowance(new_account(signals, today, rules), burst, pace(today)),
            paced=not rules.proof_of_work,
        )
    except Elsewhere as made:
        if not rules.proof_of_work:
            await context.ledger.pace(context.new_token(), burst, pace)
        return await _show_again(context, id_of_record(made.witness))
    theirs = taken_over(signals, reserved.day, context.policy.anonymous)
    try:
        carried = await context.ledger.carry(
            reserved.charge, reserved.day, account_counter(holder("account", id)), theirs
        )
        # Last: as long as there is no key, whatever was taken comes back by itself.
        record, key = await context.keys.create("account", "", rules.plan, id=id)
    except BaseException:
        await _give_up(context, id, reserved.charge)
        raise
    return Opened(record, key, carried)


async def _repeat(context: Context, subject: Subject, key: str | None) -> str | None:
    """What a request with this Idempotency-Key is known by. A cookie is its owner's alone, and goes with them."""
    if key is None:
        return None
    if len(key) < SHORTEST_KEY:
        raise InvalidInput(
            f"an Idempotency-Key of a new account needs at least {SHORTEST_KEY} characters that nobody guesses, such as a "
            "random UUID: with it the account is given out again",
            param="Idempotency-Key",
        )
    signals, today = subject.signals, await context.ledger.days.today()
    if signals is not None and signals.visitor is not None:
        subject = replace(subject, repeats=today.name("cookie", signals.visitor.id))
    return f"account:{scope_idempotency_key(key, subject)}"


async def _show_again(context: Context, id: str) -> Opened:
    """The account once more, for whoever may not have seen its key: with a new one."""
    try:
        record = await context.keys.get(id)
        if context.now_ms() - record.created_at > LOST_MS:
            raise InvalidInput(
                "the account of this Idempotency-Key was made more than ten minutes ago: its key is not given out again",
                param="Idempotency-Key",
            )
        record, key = await context.keys.rotate(id, 0)
    except KeyNotFound:
        raise Overloaded(
            "An equal request is being answered, or its account was revoked. Try again in a moment.", retry_after=1
        ) from None
    used = await context.ledger.history(account_counter(record.subject), 1)
    return Opened(record, key, sum(used.values()), again=True)


async def _give_up(context: Context, id: str, charge: str) -> None:
    """End a key that nobody has seen, so that its owner may make another one today."""
    try:
        with suppress(KeyNotFound):
            await context.keys.revoke(id)
        await context.ledger.release(charge)
    except ModelpoolError as error:
        log.warning("an account that nobody has the key of may stay: %s", error)


async def _require_work(context: Context, subject: Subject, solution: str | None) -> None:
    verdict = await context.challenges.check(solution, subject) if solution is not None else None
    if verdict is not Verdict.SOLVED:
        challenge = await context.challenges.issue(subject)
        raise ChallengeRequired(challenge, WHY_NOT[verdict] if verdict is not None else None)
