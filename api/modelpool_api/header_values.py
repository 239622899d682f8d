"""A request's headers as a plain dictionary: one request is asked for a dozen of them, most of which it has not."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import HTTPConnection

_KEY = "modelpool_headers"


def header_values(connection: HTTPConnection) -> Mapping[str, str]:
    """The first value of each header by its name in lower case."""
    scope = connection.scope
    found: dict[str, str] | None = scope.get(_KEY)
    if found is None:
        # From the last to the first, so that the first stays.
        sent = reversed(scope["headers"])
        found = scope[_KEY] = {name.decode("latin-1"): value.decode("latin-1") for name, value in sent}
    return found
