"""Issuing keys: for whoever holds the admin token. Of others not even the body is read."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path
from fastapi.routing import APIRoute
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import Message

from modelpool.errors import BodyTooLarge, Forbidden, InvalidInput, Unauthenticated
from modelpool.queue.rules import DAY_MS
from modelpool_api.account_schemas import KeyList, KeyUsage, KeyView, NewKeyBody, RotateBody
from modelpool_api.accounts.keys import ID_FORM, KeyRecord
from modelpool_api.context import Context
from modelpool_api.problems import responses
from modelpool_api.quota.ceilings import account_counter
from modelpool_api.quota.scripts import USAGE_DAYS
from modelpool_api.routes.process import Process
from modelpool_api.views import rfc3339

_HEADERS = {"Cache-Control": "no-store"}
_MAX_BODY = 16 * 1024
KeyId = Annotated[str, Path(pattern=ID_FORM, description="The key's id.", examples=["5f1e0c9a7be2"])]


def _administrator(connection: HTTPConnection) -> None:
    context: Context = connection.app.state.context
    token = context.settings.admin_token
    if not token:
        raise Forbidden("the admin API is off here: start the API with MODELPOOL_ADMIN_TOKEN")
    scheme, _, offered = connection.headers.get("authorization", "").partition(" ")
    same = hmac.compare_digest(_digest(offered.strip()), _digest(token))
    if scheme.lower() != "bearer" or not same:
        raise Unauthenticated("this is not the admin token: write it as 'Authorization: Bearer <token>'")


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


async def _small_body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_BODY:
            raise BodyTooLarge(f"the request is larger than {_MAX_BODY} bytes, which is more than a key needs")
    return bytes(body)


class _AfterTheToken(APIRoute):
    """FastAPI reads a body before it looks at dependencies: here the token comes first, and then a small body."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_after_the_token(request: Request) -> Response:
            _administrator(request)
            body = await _small_body(request) if self.body_field is not None else b""

            async def receive() -> Message:
                return {"type": "http.request", "body": body, "more_body": False}

            return await handle(Request(request.scope, receive))

        return handle_after_the_token


router = APIRouter(tags=["admin"], route_class=_AfterTheToken)
_TOKEN: dict[str, Any] = {"security": [{"adminToken": []}]}
_LINKS = {
    name: {"operationId": f"admin_{name}", "parameters": {"id": "$response.body#/id"}}
    for name in ("rotate", "revoke", "usage")
}


@router.post(
    "/v1/admin/keys",
    summary="Issue a key",
    status_code=201,
    response_model=KeyView,
    responses={201: {"description": "The key.", "links": _LINKS}, **responses(400, 401, 403, 408, 413, 422, 503)},
    openapi_extra=_TOKEN,
)
async def create(body: NewKeyBody, context: Process) -> Response:
    """A key with a plan. Its text is in this answer and nowhere else."""
    if body.plan not in context.policy.plans:
        names = ", ".join(sorted(context.policy.plans))
        raise InvalidInput(f"there is no such plan; there are: {names}", param="plan")
    record, key = await context.keys.create("issued", body.name, body.plan)
    return _answer(record, key, 201)


@router.get(
    "/v1/admin/keys",
    summary="List the issued keys",
    response_model=KeyList,
    responses=responses(401, 403, 503),
    openapi_extra=_TOKEN,
)
async def listed(context: Process) -> Response:
    """Every key that was issued and not revoked. Free accounts are not listed."""
    keys = KeyList(data=tuple(_view(record) for record in await context.keys.issued()))
    return Response(keys.model_dump_json(by_alias=True, exclude_none=True), 200, _HEADERS, "application/json")


@router.post(
    "/v1/admin/keys/{id}/rotate",
    summary="Give a key a new secret",
    response_model=KeyView,
    responses=responses(400, 401, 403, 404, 408, 413, 422, 503),
    openapi_extra=_TOKEN,
)
async def rotate(id: KeyId, context: Process, body: RotateBody | None = None) -> Response:
    """The old secret works for another `graceSeconds`; allowance and usage stay."""
    grace = (body or RotateBody()).grace_seconds
    record, key = await context.keys.rotate(id, grace * 1000)
    return _answer(record, key, 200)


@router.delete(
    "/v1/admin/keys/{id}",
    summary="Revoke a key",
    status_code=204,
    responses=responses(401, 403, 404, 422, 503),
    openapi_extra=_TOKEN,
)
async def revoke(id: KeyId, context: Process) -> Response:
    """It opens nothing any more, everywhere within five seconds. Accounts can be revoked too."""
    await context.keys.revoke(id)
    return Response(status_code=204, headers=_HEADERS)


@router.get(
    "/v1/admin/keys/{id}/usage",
    summary="What a key has used",
    response_model=KeyUsage,
    responses=responses(401, 403, 404, 422, 503),
    openapi_extra=_TOKEN,
)
async def usage(id: KeyId, context: Process) -> Response:
    """Units of today and of the last 35 days; what was refunded is not in them."""
    record = await context.keys.get(id)
    plan = context.policy.plans.get(record.plan)
    used = await context.ledger.history(account_counter(record.subject), USAGE_DAYS)
    today = max(used)
    limit = plan.per_day if plan is not None else 0
    view = KeyUsage(
        id=id,
        plan=record.plan,
        limit=limit,
        used=used[today],
        remaining=max(0, limit - used[today]),
        resets_at=rfc3339((today + 1) * DAY_MS),
        days={_date(day): units for day, units in used.items() if units},
    )
    return Response(view.model_dump_json(by_alias=True), 200, _HEADERS, "application/json")


def _date(day: int) -> str:
    return datetime.fromtimestamp(day * DAY_MS / 1000, UTC).date().isoformat()


def _view(record: KeyRecord, key: str | None = None) -> KeyView:
    return KeyView(
        id=record.id,
        name=record.name,
        kind=record.kind,
        plan=record.plan,
        created_at=rfc3339(record.created_at),
        key=key,
        previous_until=rfc3339(max(until for _, until in record.earlier)) if record.earlier else None,
    )


def _answer(record: KeyRecord, key: str, status: int) -> Response:
    body = _view(record, key).model_dump_json(by_alias=True, exclude_none=True)
    return Response(body, status, _HEADERS, "application/json")
