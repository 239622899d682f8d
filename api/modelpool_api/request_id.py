"""The id that a proxy gives a request: what the log says while the request is worked on has it too."""

from __future__ import annotations

import logging
import re
from contextvars import ContextVar

from starlette.types import ASGIApp, Receive, Scope, Send

_HEADER = b"x-request-id"
_FORM = re.compile(rb"[A-Za-z0-9._:-]{8,128}")
"""The same as of the edge; what does not look so is not written into a log."""
_current: ContextVar[str | None] = ContextVar("request_id", default=None)


class RequestId:
    """ASGI middleware: remembers ``X-Request-Id`` for the log."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] in ("http", "websocket"):
            offered = next((value for name, value in scope["headers"] if name == _HEADER), b"")
            _current.set(offered.decode() if _FORM.fullmatch(offered) else None)
        await self._app(scope, receive, send)


class NamesRequest(logging.Filter):
    """Gives each record ``request``: the request's id in brackets, with a space before it, or nothing."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep every record."""
        id = _current.get()
        record.request = f" [{id}]" if id is not None else ""
        return True
