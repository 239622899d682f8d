"""Watching what comes without credentials, as the admission document says: note, count, answer."""

from __future__ import annotations

from modelpool_api.behaviour.evidence import observe
from modelpool_api.behaviour.rules import LooksUnusual, Pattern, noticed
from modelpool_api.behaviour.sightings import sighting_of
from modelpool_api.challenges import WHY_NOT, Verdict
from modelpool_api.context import Context
from modelpool_api.drafts import Asked, Draft
from modelpool_api.identity.subject import Subject
from modelpool_api.quota.refusals import offer
from modelpool_api.room import is_in_already


async def watch(context: Context, subject: Subject, asked: Asked, draft: Draft) -> None:
    """Notice patterns that no person has in what comes without credentials; answer them where that is enforced."""
    rules, signals, recorder = context.policy.behaviour, subject.signals, context.recorder
    if subject.plan is not None or signals is None or (rules.mode == "off" and recorder is None):
        return
    today = await context.ledger.days.today()
    sighting = sighting_of(today, context.now_ms(), subject.repeats, signals, draft.words, draft.job)
    if recorder is not None:
        recorder.record(sighting)
    if rules.mode == "off":
        return
    patterns = noticed(await observe(context.scripts, sighting), rules)
    for pattern in patterns:
        context.metrics.unusual_use.labels(pattern.value, rules.mode).inc()
    if patterns and rules.mode == "enforce" and not await is_in_already(context, draft):
        await _answer(context, subject, asked, patterns[0])


async def _answer(context: Context, subject: Subject, asked: Asked, pattern: Pattern) -> None:
    """Refuse gently, or let through who has solved a challenge.

    :raises LooksUnusual: with a new challenge, where those are given.
    """
    offered = offer(subject.plan, context.policy.accounts)
    if context.policy.behaviour.answer == "refuse":
        raise LooksUnusual(pattern, offered)
    verdict = await context.challenges.check(asked.solution, subject) if asked.solution is not None else None
    if verdict is Verdict.SOLVED:
        return
    challenge = await context.challenges.issue(subject)
    raise LooksUnusual(pattern, offered, challenge=challenge, why_not=WHY_NOT[verdict] if verdict is not None else None)
