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

    @property
    def party(self) -> str:
        """Whose part this takes of what all share at one moment: a network's (of IPv6 the /48), where it costs nothing to
        be many; who pays has one of their own."""
        if self.lane is Lane.PAID or self.signals is None:
            return self.id
        return self.signals.origin.site or self.signals.origin.prefix


class SubjectResolver(Protocol):
    """Finds the subject of a request."""

    async def resolve(self, connection: HTTPConnection) -> Subject:
        """The subject.

        :raises Unauthenticated: credentials came that nobody here has issued.
        :raises QueueUnavailable: Redis is needed to tell, and away.
        """
        ...
