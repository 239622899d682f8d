"""Refusing bodies that are too large, announced or not, too slow, or too many large ones at once, with a problem."""

from __future__ import annotations

import asyncio
from types import MappingProxyType

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modelpool.errors import BodyTooLarge, BodyTooSlow, Overloaded
from modelpool_api.problems import problem_response

SMALL = 64 * 1024
"""Bytes of a body that never count: nearly all requests are words, and those are let in whatever others send."""
BODY_SECONDS = 30.0
"""How long a body may take, from the first look at it."""
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
        self.until: float | None = None
        self.whole = False
        self.answered = False

    def grow(self, size: int) -> None:
        self.size += size
        more = max(0, self.size - SMALL) - self._held
        if more > 0:
            self._budget.take(more)
            self._held += more

    def let_go(self) -> None:
        self._budget.give_back(self._held)
        self._held = 0


class _TooSlow(BodyTooSlow):
    """What of the body comes later is read by nobody."""

    headers = MappingProxyType({"Connection": "close"})


class BodyLimit:
    """ASGI middleware: at most ``limit`` bytes in a request's body, and what ``budget`` allows in all bodies together.

    A body is whole after ``seconds``, or it is given up. What comes after it, such as the client's leaving, has no deadline.
    """

    def __init__(self, app: ASGIApp, limit: int, budget: BodyBudget, seconds: float = BODY_SECONDS) -> None:
        self._app = app
        self._limit = limit
        self._budget = budget
        self._seconds = seconds

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
            if body.whole:
                return await receive()
            if body.until is None:
                body.until = asyncio.get_running_loop().time() + self._seconds
            try:
                async with asyncio.timeout_at(body.until) as deadline:
                    message = await receive()
            except TimeoutError:
                if not deadline.expired():
                    raise
                if body.answered:  # too late to say so: for whoever answers, the client has left
                    return {"type": "http.disconnect"}
                raise _TooSlow(f"the body did not come in {self._seconds:g} s") from None
            body.whole = not message.get("more_body", False)
            if message["type"] == "http.request":
                body.grow(len(message.get("body", b"")))
                if body.size > self._limit:
                    raise self._refusal()
            return message

        async def noted(message: Message) -> None:
            body.answered = True
            await send(message)

        try:
            await self._app(scope, counted, noted)
        finally:
            body.let_go()

    def _refusal(self) -> BodyTooLarge:
        return BodyTooLarge(f"the request is larger than {self._limit} bytes; send a smaller image")


def let_body_go(connection: HTTPConnection) -> None:
    """The request's body is needed no more, however long its answer may take: others may send theirs."""
    body: _Body | None = connection.scope.get(_KEY)
    if body is not None:
        body.let_go()
