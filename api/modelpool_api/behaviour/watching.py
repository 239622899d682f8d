"""Watching what comes without credentials, as the admission document says: note, count, answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from modelpool.errors import Unavailable
from modelpool_api.behaviour.evidence import counted
from modelpool_api.behaviour.rules import Evidence, LooksUnusual, Pattern, noticed
from modelpool_api.behaviour.sightings import sighting_of
from modelpool_api.challenges import WHY_NOT, Verdict
from modelpool_api.context import Context
from modelpool_api.drafts import Asked, Draft
from modelpool_api.identity.ring import DayKey
from modelpool_api.identity.subject import Subject
from modelpool_api.quota.ledger import Elsewhere, Seen
from modelpool_api.quota.refusals import offer
from modelpool_api.room import is_in_already


@contextmanager
def watched(context: Context, subject: Subject, draft: Draft, today: DayKey) -> Iterator[tuple[Seen, ...]]:
    """What is to be counted of the request within the block: nothing of those with credentials.

    Where that is wanted it is written down once the ledger has answered. Who is sent to another pool asks again there.
    """
    rules, signals, recorder = context.policy.behaviour, subject.signals, context.recorder
    if subject.plan is not None or signals is None or (rules.mode == "off" and recorder is None):
        yield ()
        return
    sighting = sighting_of(today, context.now_ms(), subject.repeats, signals, draft.words, draft.job)
    answered = True
    try:
        yield () if rules.mode == "off" else counted(sighting, rules)
    except (Elsewhere, Unavailable):
        answered = False
        raise
    finally:
        if recorder is not None and answered:
            recorder.record(sighting)


def notice(context: Context, counts: Sequence[int]) -> None:
    """Tell the metrics which patterns ``counts`` show."""
    rules = context.policy.behaviour
    for pattern in noticed(Evidence(*counts), rules):
        context.metrics.unusual_use.labels(pattern.value, rules.mode).inc()


async def answer(context: Context, subject: Subject, asked: Asked, draft: Draft, counts: Sequence[int]) -> None:
    """Refuse gently, or let through who is in already or has solved a challenge.

    :raises LooksUnusual: with a new challenge, where those are given.
    """
    if await is_in_already(context, draft):
        return
    pattern: Pattern = noticed(Evidence(*counts), context.policy.behaviour)[0]
    offered = offer(subject.plan, context.policy.accounts)
    if context.policy.behaviour.answer == "refuse":
        raise LooksUnusual(pattern, offered)
    verdict = await context.challenges.check(asked.solution, subject) if asked.solution is not None else None
    if verdict is Verdict.SOLVED:
        return
    challenge = await context.challenges.issue(subject)
    raise LooksUnusual(pattern, offered, challenge=challenge, why_not=WHY_NOT[verdict] if verdict is not None else None)
