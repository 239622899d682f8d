"""The route that everybody asks for, found without a look at all the others.

FastAPI matches a path against every route, prepares what dependencies may have to close, and watches for errors to turn
into answers: for a route that takes the request and gives the answer, that costs more than who asks, how much they have
left and what it costs together. The route stays in the application's list too, for its description and its neighbours.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from modelpool.errors import ModelpoolError


class Shortcut:
    """ASGI middleware: calls ``endpoint`` for ``method`` on exactly these paths. Errors that are not ours go on outwards."""

    def __init__(
        self,
        app: ASGIApp,
        method: str,
        paths: Collection[str],
        endpoint: Callable[[Request], Awaitable[Response]],
        on_error: Callable[[Request, ModelpoolError], Response],
    ) -> None:
        self._app = app
        self._method = method
        self._paths = frozenset(paths)
        self._endpoint = endpoint
        self._on_error = on_error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it."""
        if scope["type"] != "http" or scope["path"] not in self._paths or scope["method"] != self._method:
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive, send)
        try:
            answer = await self._endpoint(request)
        except ModelpoolError as error:
            answer = self._on_error(request, error)
        await answer(scope, receive, send)
