"""Refusing bodies that are too large, announced or not, too slow, or too many large ones at once, with a problem."""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modelpool.errors import BodyTooLarge, BodyTooSlow, ModelpoolError, Overloaded, TooManyRequests
from modelpool_api.problems import problem_response

SMALL = 64 * 1024
"""Bytes of a body that never count: nearly all requests are words, and those are let in whatever others send."""
BODY_SECONDS = 30.0
"""How long a body may take, from the first look at it."""
_KEY = "modelpool_body"
_RETRY_SECONDS = 5


class BodyBudget:
    """How many bytes of large bodies a process holds at a time. A body counts as far as it has come.

    Nobody holds more than they leave to others (Choudhury and Hahne, "Dynamic queue length thresholds", 1998): one alone has
    half of it, and who comes then half of what is left. Where many fill it together each holds an equal part, and as much is left.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._theirs: dict[str, int] = {}
        self.held = 0

    def take(self, whose: str, size: int) -> None:
        """Hold ``size`` more of ``whose``.

        :raises TooManyRequests: it is their own that are too many; none is held.
        :raises Overloaded: they are too many with what others send; none is held.
        """
        theirs, held = self._theirs.get(whose, 0) + size, self.held + size
        if theirs > self._limit - held:
            raise _too_many(own=theirs > self._limit / 2)
        self._theirs[whose], self.held = theirs, held

    def give_back(self, whose: str, size: int) -> None:
        """Hold ``size`` less of ``whose``."""
        self.held -= size
        left = self._theirs.pop(whose, 0) - size
        if left:
            self._theirs[whose] = left


def _too_many(*, own: bool) -> ModelpoolError:
    kind, which = (TooManyRequests, " of yours, or of your network,") if own else (Overloaded, "")
    return kind(
        f"Too many large requests{which} are being read just now. Try again in a moment; nothing was charged.",
        retry_after=_RETRY_SECONDS,
    )


class _Body:
    """One request's body, and what has come of it."""

    def __init__(self, budget: BodyBudget, limit: int, seconds: float, announced: int | None) -> None:
        self._budget = budget
        self._limit = limit
        self._seconds = seconds
        self._whose = ""
        self._held = 0
        self._size = 0
        self._until: float | None = None
        self._whole = False
        self._answered = False
        self._closes = announced is None or announced > SMALL
        """Whether an answer before it is whole ends the connection."""

    async def receive(self, receive: Receive) -> Message:
        """The next message; parts of the body are counted."""
        if self._whole:
            return await receive()
        message = await self._in_time(receive)
        self._whole = not message.get("more_body", False)
        if message["type"] == "http.request":
            self._grow(len(message.get("body", b"")))
        return message

    def answer(self, message: Message) -> Message:
        """A message of the answer, as it is to be sent."""
        self._answered = True
        if message["type"] == "http.response.start" and self._closes and not self._whole:
            headers = [header for header in message.get("headers", ()) if header[0] != b"connection"]
            return {**message, "headers": [*headers, (b"connection", b"close")]}
        return message

    def belong_to(self, whose: str) -> None:
        """It is theirs, what has come of it too."""
        held = self._held
        self.let_go()
        self._whose = whose
        self._hold(held)

    def let_go(self) -> None:
        """It is held no more."""
        self._budget.give_back(self._whose, self._held)
        self._held = 0

    async def _in_time(self, receive: Receive) -> Message:
        if self._until is None:
            self._until = asyncio.get_running_loop().time() + self._seconds
        try:
            async with asyncio.timeout_at(self._until) as deadline:
                return await receive()
        except TimeoutError:
            if not deadline.expired():
                raise
        if self._answered:  # too late to say so: for whoever answers, the client has left
            return {"type": "http.disconnect"}
        self._closes = True
        raise BodyTooSlow(f"the body did not come in {self._seconds:g} s")

    def _grow(self, size: int) -> None:
        self._size += size
        self._hold(max(0, self._size - SMALL) - self._held)
        if self._size > self._limit:
            raise _refusal(self._limit)

    def _hold(self, more: int) -> None:
        if more > 0:
            self._budget.take(self._whose, more)
            self._held += more


class BodyLimit:
    """ASGI middleware: at most ``limit`` bytes in a request's body, and what ``budget`` allows in all bodies together.

    A body is whole after ``seconds``, or it is given up. What comes after it, such as the client's leaving, has no deadline.
    An answer while there is much to come, or what does not come, closes the connection: nobody would read the rest.
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
        announced = _announced(scope)
        body = scope[_KEY] = _Body(self._budget, self._limit, self._seconds, announced)

        async def counted() -> Message:
            return await body.receive(receive)

        async def noted(message: Message) -> None:
            await send(body.answer(message))

        try:
            if announced is not None and announced > self._limit:
                await problem_response(_refusal(self._limit), scope["path"])(scope, counted, noted)
            else:
                await self._app(scope, counted, noted)
        except ClientDisconnect:
            pass  # it left in the middle: nobody is there to be answered, and nothing is wrong with us
        finally:
            body.let_go()


def _refusal(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"the request is larger than {limit} bytes; send a smaller image")


def _announced(scope: Scope) -> int | None:
    """Bytes of the body that is to come; None: it comes in pieces until it ends."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
        if name == b"transfer-encoding":
            return None
    return 0


def own_body(connection: HTTPConnection, whose: str) -> None:
    """The request's body takes the room of ``whose``. Until that is said, it shares with all of whom nothing is known.

    :raises TooManyRequests: see :meth:`BodyBudget.take`.
    :raises Overloaded: see there, too.
    """
    body: _Body | None = connection.scope.get(_KEY)
    if body is not None:
        body.belong_to(whose)


def let_body_go(connection: HTTPConnection) -> None:
    """The request's body is needed no more, however long its answer may take: others may send theirs."""
    body: _Body | None = connection.scope.get(_KEY)
    if body is not None:
        body.let_go()
