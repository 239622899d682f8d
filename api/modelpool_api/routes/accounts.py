"""Free accounts: no e-mail, no password, one key."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from modelpool_api.account_schemas import AccountView
from modelpool_api.accounts.opening import LOST_MS, SHORTEST_KEY, open_account
from modelpool_api.challenges import SOLUTION_HEADER
from modelpool_api.problems import responses
from modelpool_api.routes.examples import ACCOUNT_EXAMPLE, FINGERPRINT_PARAMETER, SOLUTION_PARAMETER
from modelpool_api.routes.process import Asker, Process

router = APIRouter(tags=["quota"])
_AGAIN: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "schema": {"type": "string", "minLength": SHORTEST_KEY, "maxLength": 255},
    "description": f"For an answer that was lost: the same key within {LOST_MS // 60_000} minutes brings the same account, whose "
    "key is then a new one.",
}


@router.post(
    "/v1/accounts",
    summary="Make a free account",
    status_code=201,
    response_model=AccountView,
    responses={
        201: {"description": "The account and its key.", "content": {"application/json": {"example": ACCOUNT_EXAMPLE}}},
        **responses(401, 403, 422, 429, 503),
    },
    openapi_extra={"parameters": [_AGAIN, FINGERPRINT_PARAMETER, SOLUTION_PARAMETER]},
)
async def create(request: Request, context: Process, subject: Asker) -> Response:
    """An account with an allowance of its own. The key is shown once. It takes over today's allowance of who asks, and what was used of
    that."""
    headers = request.headers
    opened = await open_account(context, subject, headers.get(SOLUTION_HEADER), headers.get("idempotency-key"))
    plan = context.policy.plans[opened.record.plan]
    view = AccountView(
        id=opened.record.id,
        key=opened.key,
        lane=plan.queue_lane,
        plan=opened.record.plan,
        limit=plan.per_day,
        remaining=max(0, plan.per_day - opened.used),
    )
    told = {"Cache-Control": "no-store", **({"Idempotency-Replayed": "true"} if opened.again else {})}
    return Response(view.model_dump_json(by_alias=True), 201, told, media_type="application/json")
