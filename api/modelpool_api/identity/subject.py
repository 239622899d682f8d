"""The seam between the API and whatever identity scheme is in front of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from starlette.requests import HTTPConnection

from modelpool.jobs import Lane
from modelpool_api.identity.signals import Signals


@dataclass(frozen=True, slots=True)
class Subject:
    """Who asks. ``id`` is stable for the same asker (the anonymous: for a UTC day) and names nobody."""

    id: str
    lane: Lane
    plan: str | None = None
    """Whose allowance counts; None: the anonymous ceilings."""
    repeats: str = ""
    """Whose Idempotency-Keys and repeated prompts these are: for the anonymous wider than ``id``, because a first request
    comes without the cookie that the next one brings."""
    signals: Signals | None = field(default=None, repr=False, compare=False)
    set_cookie: str | None = field(default=None, repr=False, compare=False)
    """A Set-Cookie header that the answer should carry."""


class SubjectResolver(Protocol):
    """Finds the subject of a request."""

    async def resolve(self, connection: HTTPConnection) -> Subject:
        """The subject.

        :raises Unauthenticated: credentials came that nobody here has issued.
        :raises QueueUnavailable: Redis is needed to tell, and away.
        """
        ...
