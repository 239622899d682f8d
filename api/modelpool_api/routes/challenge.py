"""Proofs of work, for pages that solve one before they are asked for it."""

from __future__ import annotations

import json

from fastapi import APIRouter
from starlette.responses import Response

from modelpool.errors import Forbidden
from modelpool_api.problems import responses
from modelpool_api.routes.examples import FINGERPRINT_PARAMETER, KEY_OR_NOTHING
from modelpool_api.routes.process import Asker, Process
from modelpool_api.schemas import ChallengeView

router = APIRouter(tags=["quota"])


@router.get(
    "/v1/challenge",
    summary="Get a challenge",
    response_model=ChallengeView,
    responses=responses(401, 403, 503),
    openapi_extra={"parameters": [FINGERPRINT_PARAMETER], "security": KEY_OR_NOTHING},
)
async def challenge(context: Process, subject: Asker) -> Response:
    """A challenge for whoever asks, as ALTCHA's widget reads it. The answers that want a solution bring one themselves."""
    if context.policy.behaviour.answer == "refuse" and not context.policy.accounts.proof_of_work:
        raise Forbidden("nothing here wants a solved challenge: send the request without one")
    body = json.dumps(await context.challenges.issue(subject))
    return Response(body, headers={"Cache-Control": "no-store"}, media_type="application/json")
