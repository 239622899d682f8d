"""Opening a free account: at a click, without telling who one is, and without more for today than others have."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from modelpool.errors import Forbidden, InvalidInput, ModelpoolError
from modelpool_api.accounts.keys import KeyRecord, holder
from modelpool_api.accounts.store import KeyNotFound, new_id, record_key
from modelpool_api.challenges import WHY_NOT, Verdict
from modelpool_api.context import Context
from modelpool_api.identity.ring import DayKey
from modelpool_api.identity.subject import Subject
from modelpool_api.quota.ceilings import Allowance, account_counter, new_account, taken_over
from modelpool_api.quota.ledger import Charge

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Opened:
    """A new account: its record, the key to show once, and the units of today that it begins with."""

    record: KeyRecord
    key: str
    carried: int


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


async def open_account(context: Context, subject: Subject, solution: str | None = None) -> Opened:
    """Make an account for whoever asks. What they have used today without one counts as used, and it takes over the rest.

    :raises Forbidden: accounts are switched off.
    :raises ChallengeRequired: they cost a proof of work, and ``solution`` is none.
    :raises InvalidInput: who asks has a key already.
    :raises LimitReached: one a day for each, a few for a network.
    :raises QueueUnavailable: Redis is away; no account was made.
    """
    rules, signals = context.policy.accounts, subject.signals
    if not rules.enabled:
        raise Forbidden("accounts are not given out here: ask the operator for a key")
    if subject.plan is not None or signals is None:
        raise InvalidInput("you have a key already: leave the Authorization header away to make another account")
    burst = context.policy.anonymous.burst

    def pace(today: DayKey) -> str:
        return f"new:{today.name('network', signals.origin.prefix)}"

    if rules.proof_of_work:
        # Before the work: looking at a solution is work of ours.
        await context.ledger.pace(context.new_token(), burst, pace)
        await _require_work(context, subject, solution)
    id = new_id()
    charge = Charge(context.new_token(), 1, witness=record_key(id))
    reserved = await context.ledger.reserve(
        charge,
        lambda today: Allowance(new_account(signals, today, rules), burst, pace(today)),
        paced=not rules.proof_of_work,
    )
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
