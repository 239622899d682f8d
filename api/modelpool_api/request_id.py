"""The id of a request, a proxy's or our own: its answer and what the log says while it is worked on have it too."""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Callable
from contextvars import ContextVar

from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = b"x-request-id"
_FORM = re.compile(rb"[A-Za-z0-9._:-]{8,128}")
"""The same as of the edge; what does not look so is not written into a log."""
_current: ContextVar[str | None] = ContextVar("request_id", default=None)


_STARTS = ("http.response.start", "websocket.accept", "websocket.http.response.start")


def new_request_id() -> str:
    """An id as the edge makes them: 32 hex digits."""
    return secrets.token_hex(16)


class RequestId:
    """ASGI middleware: remembers ``X-Request-Id`` for the log, and sends it back. Who brings none gets one."""

    def __init__(self, app: ASGIApp, new_id: Callable[[], str] = new_request_id) -> None:
        self._app = app
        self._new_id = new_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        offered = next((value for name, value in scope["headers"] if name == HEADER), b"")
        id = offered.decode() if _FORM.fullmatch(offered) else self._new_id()
        _current.set(id)

        async def with_id(message: Message) -> None:
            if message["type"] in _STARTS:
                message["headers"] = [*message.get("headers", ()), (HEADER, id.encode())]
            await send(message)

        await self._app(scope, receive, with_id)


class NamesRequest(logging.Filter):
    """Gives each record ``request``: the request's id in brackets, with a space before it, or nothing."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep every record."""
        id = _current.get()
        record.request = f" [{id}]" if id is not None else ""
        return True
