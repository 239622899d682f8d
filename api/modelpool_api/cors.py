"""Which pages of other sites may ask us from a browser. Their questions beforehand are refused with a problem, like everything."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from modelpool.errors import Forbidden
from modelpool_api.policy import Cors
from modelpool_api.problems import problem_response

_METHODS = ["GET", "HEAD", "POST", "DELETE"]
_SENT_HEADERS = [
    *("Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID"),
    *("Modelpool-Fingerprint", "Modelpool-Solution", "Prefer"),
]
_TOLD_HEADERS = [
    *("Idempotency-Replayed", "Location", "Preference-Applied"),
    *("RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-Id"),
]


class NamedPages(CORSMiddleware):
    """ASGI middleware: Starlette's, for the origins that the admission document names."""

    def __init__(self, app: ASGIApp, rules: Cors) -> None:
        super().__init__(
            app,
            allow_origins=rules.allowed_origins,
            allow_credentials=rules.allow_credentials,
            allow_methods=_METHODS,
            allow_headers=_SENT_HEADERS,
            expose_headers=_TOLD_HEADERS,
            max_age=3600,
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        """What a browser is told that asks whether a page may ask."""
        answer = super().preflight_response(request_headers)
        return answer if answer.status_code < 400 else _Refusal(answer)


class _Refusal(Response):
    """A refused question, as a problem; its headers are those of the answer that it stands for."""

    def __init__(self, answer: Response) -> None:
        super().__init__()
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        wrong = bytes(self._answer.body).decode().removeprefix("Disallowed CORS ")
        refused = problem_response(
            Forbidden(
                f"a page of another site asks for what is not open to it here: {wrong}. The admission document names the "
                f"origins (cors.allowedOrigins); methods are {', '.join(_METHODS)}, and headers those of the API"
            ),
            scope["path"],
        )
        for name, value in self._answer.headers.items():
            refused.headers.setdefault(name, value)
        await refused(scope, receive, send)
