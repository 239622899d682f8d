"""How a route gets at its process: the context, the outcomes, the subject.

All are coroutines although none waits: FastAPI sends plain functions to a thread, which costs more than they do.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from modelpool_api.context import Context
from modelpool_api.identity.cookie_header import STATE
from modelpool_api.identity.subject import Subject
from modelpool_api.outcomes import Outcomes


async def _context(connection: HTTPConnection) -> Context:
    context: Context = connection.app.state.context
    return context


async def _outcomes(connection: HTTPConnection) -> Outcomes:
    outcomes: Outcomes = connection.app.state.outcomes
    return outcomes


async def _root(connection: HTTPConnection) -> str:
    root: str = connection.scope.get("root_path", "")
    return root.rstrip("/")


async def _subject(connection: HTTPConnection) -> Subject:
    subject = await (await _context(connection)).resolver.resolve(connection)
    # A dictionary that the middleware holds too: refusals carry the cookie as well.
    connection.scope.setdefault("state", {})[STATE] = subject.set_cookie
    return subject


Process = Annotated[Context, Depends(_context)]
Counted = Annotated[Outcomes, Depends(_outcomes)]
Root = Annotated[str, Depends(_root)]
"""The path that links begin with."""
Asker = Annotated[Subject, Depends(_subject)]
