"""Refusing bodies that are too large, announced or not, or too many large ones at once, with a problem instead of bare text."""

from __future__ import annotations

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modelpool.errors import BodyTooLarge, Overloaded
from modelpool_api.problems import problem_response

SMALL = 64 * 1024
"""Bytes of a body that never count: nearly all requests are words, and those are let in whatever others send."""
_KEY = "modelpool_body"
_RETRY_SECONDS = 5


class BodyBudget:
    """How many bytes of large bodies a process holds at a time. A body counts as far as it has come."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.held = 0

    def take(self, size: int) -> None:
        """Hold ``size`` more.

        :raises Overloaded: they are too many with what others send; none is held.
        """
        if self.held + size > self._limit:
            raise Overloaded(
                "Too many large requests are being read just now. Try again in a moment.", retry_after=_RETRY_SECONDS
            )
        self.held += size

    def give_back(self, size: int) -> None:
        """Hold ``size`` less."""
        self.held -= size


class _Body:
    """What has come of one request's body."""

    def __init__(self, budget: BodyBudget) -> None:
        self._budget = budget
        self._held = 0
        self.size = 0

    def grow(self, size: int) -> None:
        self.size += size
        more = max(0, self.size - SMALL) - self._held
        if more > 0:
            self._budget.take(more)
            self._held += more

    def let_go(self) -> None:
        self._budget.give_back(self._held)
        self._held = 0


class BodyLimit:
    """ASGI middleware: at most ``limit`` bytes in a request's body, and what ``budget`` allows in all bodies together."""

    def __init__(self, app: ASGIApp, limit: int, budget: BodyBudget) -> None:
        self._app = app
        self._limit = limit
        self._budget = budget

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
        body = scope[_KEY] = _Body(self._budget)

        async def counted() -> Message:
            message = await receive()
            if message["type"] == "http.request":
                body.grow(len(message.get("body", b"")))
                if body.size > self._limit:
                    raise self._refusal()
            return message

        try:
            await self._app(scope, counted, send)
        finally:
            body.let_go()

    def _refusal(self) -> BodyTooLarge:
        return BodyTooLarge(f"the request is larger than {self._limit} bytes; send a smaller image")


def let_body_go(connection: HTTPConnection) -> None:
    """The request's body is needed no more, however long its answer may take: others may send theirs."""
    body: _Body | None = connection.scope.get(_KEY)
    if body is not None:
        body.let_go()
