"""What reaches an application of the tests."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send


class Witness:
    """ASGI middleware: what has reached the API."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, str]]] = []
        """Path and headers of each request."""

    def around(self, app: ASGIApp) -> ASGIApp:
        """``app``, watched."""

        async def watched(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] in ("http", "websocket"):
                headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
                self.seen.append((scope["path"], headers))
            await app(scope, receive, send)

        return watched

    def paths(self) -> list[str]:
        """Of all requests so far."""
        return [path for path, _ in self.seen]
