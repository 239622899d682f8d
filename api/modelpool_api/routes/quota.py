"""What is left of today's allowance."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from modelpool_api.problems import responses
from modelpool_api.quota.ceilings import allowance
from modelpool_api.routes.examples import FINGERPRINT_PARAMETER, KEY_OR_NOTHING, QUOTA_EXAMPLE
from modelpool_api.routes.process import Asker, Process
from modelpool_api.schemas import QuotaView
from modelpool_api.views import rfc3339

router = APIRouter(tags=["quota"])


@router.get(
    "/v1/quota",
    summary="What is left for today",
    response_model=QuotaView,
    responses={
        200: {"description": "The allowance.", "content": {"application/json": {"example": QUOTA_EXAMPLE}}},
        **responses(401, 503),
    },
    openapi_extra={"parameters": [FINGERPRINT_PARAMETER], "security": KEY_OR_NOTHING},
)
async def quota(context: Process, subject: Asker) -> Response:
    """Units left until midnight UTC, under the ceiling that has the least left. Asking costs nothing."""
    balance = await context.ledger.look(lambda today: allowance(subject, today, context.policy))
    view = QuotaView(
        lane=subject.lane,
        plan=subject.plan,
        ceiling=balance.ceiling,
        limit=balance.limit,
        remaining=balance.remaining,
        resets_at=rfc3339(balance.resets_at),
        reset_seconds=balance.seconds_to_reset,
    )
    body = view.model_dump_json(by_alias=True, exclude_none=True)
    headers = {"Cache-Control": "no-store", **balance.headers()}
    return Response(body, headers=headers, media_type="application/json")
