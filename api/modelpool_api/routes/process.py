"""How a route gets at its process: the context, the subject, the path of links.

All dependencies are coroutines although none waits: FastAPI sends plain functions to a thread, which costs more than they
do. Even so it costs more to solve them than most of what they give; a :class:`DirectRoute` does without.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from fastapi.routing import APIRoute
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from modelpool_api.context import Context
from modelpool_api.identity.cookie_header import STATE
from modelpool_api.identity.subject import Subject


async def _context(connection: HTTPConnection) -> Context:
    context: Context = connection.app.state.context
    return context


async def _root(connection: HTTPConnection) -> str:
    return root_of(connection)


def root_of(connection: HTTPConnection) -> str:
    """The path that links begin with."""
    root: str = connection.scope.get("root_path", "")
    return root.rstrip("/")


async def subject_of(connection: HTTPConnection) -> Subject:
    """Who asks; the answer gets their cookie."""
    context: Context = connection.app.state.context
    subject = await context.resolver.resolve(connection)
    # A dictionary that the middleware holds too: refusals carry the cookie as well.
    connection.scope.setdefault("state", {})[STATE] = subject.set_cookie
    return subject


Process = Annotated[Context, Depends(_context)]
Root = Annotated[str, Depends(_root)]
"""The path that links begin with."""
Asker = Annotated[Subject, Depends(subject_of)]


class DirectRoute(APIRoute):
    """A route whose function takes the request and nothing else: FastAPI describes it and does nothing for it.

    Errors are answered where those of all routes are that nobody has answered before, by the application.
    """

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the function and send what it returns."""
        if scope["method"] not in (self.methods or ()):
            await super().handle(scope, receive, send)
            return
        answer: Response = await self.endpoint(Request(scope, receive, send))
        await answer(scope, receive, send)
