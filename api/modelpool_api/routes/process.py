"""How a route gets at its process: the context, the subject, the path of links.

All dependencies are coroutines although none waits: FastAPI sends plain functions to a thread, which costs more than they
do.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

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
