"""What tells browsers how little our answers may do: no sniffing, no frames, no foreign scripts, no address passed on."""

from __future__ import annotations

from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    # Addresses of jobs are secrets.
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
)
DATA_POLICY = "default-src 'none'; frame-ancestors 'none'"
PAGE_POLICY = (
    "default-src 'none'; style-src 'self' 'unsafe-inline'; font-src 'self' data:; img-src 'self' data: blob:; media-src 'self'; "
    "connect-src 'self'; script-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
REFERENCE_POLICY = PAGE_POLICY.replace("script-src 'self'", "script-src 'self' 'unsafe-inline'")
"""The page at /docs starts itself with a script of its own text."""
_DATA = ("application/json", "application/problem+json", "text/plain", "text/event-stream")


def content_policy(path: str, media_type: str) -> str | None:
    """The Content-Security-Policy of an answer; None for files, which a browser shows in a document of its own making."""
    kind = media_type.partition(";")[0].strip().lower()
    if kind == "text/html":
        return REFERENCE_POLICY if path.rstrip("/").endswith("/docs") else PAGE_POLICY
    return DATA_POLICY if kind in _DATA else None


def headers_for(path: str, given: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """What an answer at ``path`` with the headers ``given`` lacks."""
    names = dict(given)
    media_type = names.get(b"content-type", b"")
    if media_type in _DATA_AS_SENT:
        wanted = _WITH_DATA
    else:
        policy = content_policy(path, media_type.decode("latin-1"))
        wanted = _ALWAYS if policy is None else _with(policy)
    return [header for header in wanted if header[0] not in names]


def _with(policy: str) -> tuple[tuple[bytes, bytes], ...]:
    return (*_ALWAYS, (b"content-security-policy", policy.encode()))


_DATA_AS_SENT = frozenset(kind.encode() for kind in _DATA)
_WITH_DATA = _with(DATA_POLICY)
"""Most answers are data: theirs are at hand."""


_STARTS = ("http.response.start", "websocket.http.response.start")
"""A WebSocket that is refused is answered like any request."""


class SecurityHeaders:
    """ASGI middleware: sets what the answer does not set itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] in _STARTS:
                given = message["headers"]
                message["headers"] = [*given, *headers_for(scope["path"], given)]
            await send(message)

        await self._app(scope, receive, with_headers)
