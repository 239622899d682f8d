"""Refusing bodies that are too large, announced or not, with a problem instead of bare text."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modelpool.errors import BodyTooLarge
from modelpool_api.problems import problem_response


class BodyLimit:
    """ASGI middleware: at most ``limit`` bytes in a request's body."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, counting."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
        if announced.isdigit() and int(announced) > self._limit:
            answer = problem_response(self._refusal(), scope["path"])
            answer.headers["Connection"] = "close"
            await answer(scope, receive, send)
            return
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            if message["type"] == "http.request":
                seen += len(message.get("body", b""))
                if seen > self._limit:
                    raise self._refusal()
            return message

        await self._app(scope, counted, send)

    def _refusal(self) -> BodyTooLarge:
        return BodyTooLarge(f"the request is larger than {self._limit} bytes; send a smaller image")
