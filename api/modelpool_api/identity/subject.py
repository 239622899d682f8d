"""The seam between the API and whatever identity scheme is in front of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from starlette.requests import HTTPConnection

from modelpool.jobs import Lane


@dataclass(frozen=True, slots=True)
class Subject:
    """Who asks. ``id`` is stable for the same asker and names nobody."""

    id: str
    lane: Lane


class SubjectResolver(Protocol):
    """Finds the subject of a request."""

    async def resolve(self, connection: HTTPConnection) -> Subject:
        """The subject.

        :raises Unauthenticated: credentials came that nobody here has issued.
        """
        ...
