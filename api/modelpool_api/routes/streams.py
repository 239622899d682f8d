"""A job's life as it happens: server-sent events, and the same JSON over a WebSocket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Annotated

from fastapi import APIRouter, Header, WebSocket
from starlette.responses import Response, StreamingResponse
from starlette.websockets import WebSocketDisconnect

from modelpool.errors import ModelpoolError
from modelpool.tasks import end
from modelpool_api.context import Context
from modelpool_api.pools import Pool
from modelpool_api.problems import problem_response, responses
from modelpool_api.routes.jobs import JobId
from modelpool_api.routes.process import Process, Root
from modelpool_api.views import job_view
from modelpool_api.waiting import Update

router = APIRouter(tags=["jobs"])

_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_EVENT = {
    "type": "object",
    "description": "One event.",
    "required": ["data"],
    "properties": {
        "event": {"enum": ["job", "progress"]},
        "id": {"type": "string", "description": "The job's `seq`."},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {"$ref": "#/components/schemas/JobView"},
        },
    },
}
GOING_AWAY = 1001
"""WebSocket close code: the server ends, connect again."""


@router.get(
    "/v1/jobs/{id}/events",
    summary="Follow a job (server-sent events)",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "`event: job` at every change, `event: progress` while it runs; the data is the job as JSON. "
            "The stream ends with the job.",
            "content": {"text/event-stream": {"schema": _EVENT}},
        },
        204: {"description": "`Last-Event-ID` has seen the end: there is nothing more to come."},
        **responses(404, 422, 503),
    },
)
async def events(
    id: JobId, context: Process, root: Root, last_event_id: Annotated[str | None, Header(max_length=40)] = None
) -> Response:
    """The job now and at every change. The event id is the job's `seq`; comments keep the connection alive."""
    pool = context.pools.of_job(id)
    seen = int(last_event_id) if last_event_id and last_event_id.isdecimal() else 0
    record = await pool.queue.get(id)
    if record.state.is_final and seen >= record.seq:
        return Response(status_code=204)
    return StreamingResponse(_sse(context, pool, id, root, seen), headers=_HEADERS, media_type="text/event-stream")


async def _sse(context: Context, pool: Pool, job: str, root: str, seen: int) -> AsyncGenerator[bytes, None]:
    yield b"retry: 1000\n\n"
    first = True
    async with aclosing(pool.waiting.follow(job)) as updates:
        try:
            async for update in updates:
                # A client that comes back has this state already; it wants what came after.
                known = first and update is not None and update.record.seq <= seen and update.hint is None
                first = False
                if update is None:
                    yield b": still here\n\n"
                elif not known:
                    kind = "progress" if update.hint is not None else "job"
                    data = _body(context, pool, update, root)
                    yield f"event: {kind}\nid: {update.record.seq}\ndata: {data}\n\n".encode()
        except ModelpoolError:
            # Too late for a status: the client reconnects by itself and gets one then.
            yield b": interrupted\n\n"


@router.websocket("/v1/jobs/{id}/ws")
async def socket(websocket: WebSocket, id: str, context: Process, root: Root) -> None:
    """The same JSON as the events, one message each; closes with the job."""
    try:
        pool = context.pools.of_job(id)
        await pool.queue.get(id)
    except ModelpoolError as error:
        await websocket.send_denial_response(problem_response(error, websocket.url.path))
        return
    await websocket.accept()
    gone = asyncio.create_task(_until_gone(websocket))
    telling = asyncio.create_task(_tell(websocket, context, pool, id, root))
    try:
        await asyncio.wait((gone, telling), return_when=asyncio.FIRST_COMPLETED)
    finally:
        await end(gone, telling)


async def _tell(websocket: WebSocket, context: Context, pool: Pool, job: str, root: str) -> None:
    code = 1000
    # A client that is gone is noticed by `_until_gone` too; either may be first.
    with suppress(WebSocketDisconnect, RuntimeError):
        try:
            async with aclosing(pool.waiting.follow(job)) as updates:
                async for update in updates:
                    if update is not None:
                        await websocket.send_text(_body(context, pool, update, root))
        except ModelpoolError:
            code = GOING_AWAY
        await websocket.close(GOING_AWAY if context.closing.is_set() else code)


async def _until_gone(websocket: WebSocket) -> None:
    """Nothing is expected from the client but its end."""
    while (await websocket.receive())["type"] != "websocket.disconnect":
        pass


def _body(context: Context, pool: Pool, update: Update, root: str) -> str:
    view = job_view(update.record, pool, context.now_ms(), root=root, position=update.position, hint=update.hint)
    return view.model_dump_json(by_alias=True, exclude_none=True)
