"""Proofs of work, for pages that solve one before they are asked for it."""

from __future__ import annotations

import json
from collections.abc import Callable

from fastapi import APIRouter
from starlette.responses import Response

from modelpool.errors import Forbidden
from modelpool_api.context import Context
from modelpool_api.counting import refusals
from modelpool_api.identity.ring import DayKey
from modelpool_api.identity.subject import Subject
from modelpool_api.policy import Burst
from modelpool_api.problems import responses
from modelpool_api.quota.ceilings import allowance
from modelpool_api.routes.examples import FINGERPRINT_PARAMETER, KEY_OR_NOTHING
from modelpool_api.routes.process import Asker, Process
from modelpool_api.schemas import ChallengeView

router = APIRouter(tags=["quota"])


@router.get(
    "/v1/challenge",
    summary="Get a challenge",
    response_model=ChallengeView,
    responses=responses(401, 403, 429, 503),
    openapi_extra={"parameters": [FINGERPRINT_PARAMETER], "security": KEY_OR_NOTHING},
)
async def challenge(context: Process, subject: Asker) -> Response:
    """A challenge for whoever asks, as ALTCHA's widget reads it. The answers that want a solution bring one themselves."""
    if context.policy.behaviour.answer == "refuse" and not context.policy.accounts.proof_of_work:
        raise Forbidden("nothing here wants a solved challenge: send the request without one")
    with refusals(context, subject.lane):
        await context.ledger.pace(context.new_token(), *_pace(context, subject))
    body = json.dumps(await context.challenges.issue(subject))
    return Response(body, headers={"Cache-Control": "no-store"}, media_type="application/json")


def _pace(context: Context, subject: Subject) -> tuple[Burst, Callable[[DayKey], str]]:
    """The burst rule of pictures, counted by itself: a challenge and the picture that it is for are not one too many."""

    def counter(today: DayKey) -> str:
        return f"challenge:{allowance(subject, today, context.policy).burst_counter}"

    plan = context.policy.plans[subject.plan] if subject.plan is not None else context.policy.anonymous
    return plan.burst, counter
