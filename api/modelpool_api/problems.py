"""Errors as ``application/problem+json`` (RFC 9457) that OpenAI's clients can read too."""

from __future__ import annotations

import difflib
import json
import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route

from modelpool.errors import InvalidInput, ModelpoolError, QueueUnavailable, Unavailable
from modelpool_api.schemas import Problem

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "https://modelpool.dev/problems/"
_REGISTERED = "https://iana.org/assignments/http-problem-types#"
_REGISTERED_TYPES = {
    "quota_exceeded": f"{_REGISTERED}quota-exceeded",
    "too_many_requests": f"{_REGISTERED}quota-exceeded",
    "unusual_use": f"{_REGISTERED}abnormal-usage-detected",
    "overloaded": f"{_REGISTERED}temporary-reduced-capacity",
}
"""Of draft-ietf-httpapi-ratelimit-headers; what is not there has a type of ours."""
RETRY_SECONDS = 5.0
SPREAD_SECONDS = 8.0
METHOD_NOT_ALLOWED = 405
NOT_FOUND = 404
MOST_FINDINGS = 20
"""Told one by one."""
_STATUS_CODES = {
    400: ("malformed_request", "Malformed request"),
    404: ("not_found", "Not found"),
    405: ("method_not_allowed", "Method not allowed"),
}


class InvalidFields(InvalidInput):
    """Several things are wrong with a request; the first is the message, ``findings`` are all of them."""

    def __init__(self, findings: Sequence[dict[str, str]]) -> None:
        first = findings[0]
        super().__init__(first["message"], param=first["param"] or None)
        self.findings = list(findings)


class Malformed(InvalidInput):
    """The body is not even of the form that it says it is."""

    code = "malformed_request"
    status = 400
    title = "Malformed request"


def invalid_fields(error: ValidationError, model: type[BaseModel]) -> InvalidInput:
    """What pydantic found, in words for the sender; never with the values, which may be prompts."""
    if error.error_count() > MOST_FINDINGS:  # not even looked at: a body may hold a million
        return InvalidInput(f"{error.error_count()} things are wrong with the request; send its fields alone")
    known = [field.alias or name for name, field in model.model_fields.items()]
    return InvalidFields([_finding(found, known) for found in _details(error)])


def _details(error: ValidationError) -> list[dict[str, Any]]:
    return [dict(found) for found in error.errors(include_url=False, include_input=False, include_context=True)]


def _finding(found: Mapping[str, Any], known: Sequence[str]) -> dict[str, str]:
    # A union names its branches in the location; users know only the field.
    where = [str(part) for part in found["loc"] if isinstance(part, int) or part in known or part in _NESTED]
    param = ".".join(where) or ".".join(str(part) for part in found["loc"])
    if found["type"] == "extra_forbidden":
        name = str(found["loc"][-1])
        close = difflib.get_close_matches(name[:100], known, n=1)
        cure = f"did you mean {close[0]!r}?" if close else "leave it away"
        return {"param": name[:100], "message": f"unknown field {name[:100]!r}; {cure}"}
    if found["type"] == "missing":
        return {"param": param, "message": f"{param} is missing"}
    message = str(found["msg"]).removeprefix("Value error, ")
    return {"param": param, "message": f"{param}: {message[0].lower()}{message[1:]}" if param else message}


_NESTED = ("job", "base64")


def problem(error: ModelpoolError, instance: str) -> Problem:
    """The body for ``error``."""
    findings = getattr(error, "findings", None)
    return Problem.model_validate(
        {
            "type": _REGISTERED_TYPES.get(error.code, TYPE_PREFIX + error.code),
            "title": error.title,
            "status": error.status,
            "detail": error.message,
            "instance": instance,
            "param": error.param,
            "errors": findings if findings and len(findings) > 1 else None,
            "violated-policies": getattr(error, "violated_policies", None),
            "challenge": getattr(error, "challenge", None),
            "error": {
                "message": error.message,
                "type": _openai_type(error.status),
                "code": error.code,
                "param": error.param,
            },
        }
    )


def problem_response(error: ModelpoolError, instance: str, chance: float = 0.0) -> Response:
    """The answer for ``error``, with the headers that belong to its status.

    ``chance`` (0 to 1) spreads those whom the same outage has sent away, so that they do not come back together.
    """
    headers = {"Cache-Control": "no-store"}
    headers |= getattr(error, "headers", {})
    if error.status in (429, 503):
        headers["Retry-After"] = str(math.ceil((error.retry_after or RETRY_SECONDS) + SPREAD_SECONDS * chance))
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    body = problem(error, instance).model_dump(by_alias=True, exclude_none=True)
    body["error"].setdefault("param", None)
    return Response(json.dumps(body, ensure_ascii=False), error.status, headers, MEDIA_TYPE)


def _openai_type(status: int) -> str:
    if status == 401:
        return "authentication_error"
    if status == 429:
        return "rate_limit_error"
    return "server_error" if status >= 500 else "invalid_request_error"


def answer_to(request: Request, error: ModelpoolError) -> Response:
    """The answer to a request that ended in ``error``."""
    chance = request.app.state.context.draw_seed() % 1000 / 1000 if isinstance(error, Unavailable) else 0.0
    return problem_response(error, request.scope["path"], chance)


async def _modelpool_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ModelpoolError)  # noqa: S101  # registered for this class only
    return answer_to(request, error)


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101  # registered for this class only
    findings = [
        {"param": str(found["loc"][-1])[:100], "message": f"{str(found['loc'][-1])[:100]}: {found['msg']}"}
        for found in error.errors()[:MOST_FINDINGS]
    ]
    return problem_response(InvalidFields(findings), request.url.path)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  # registered for this class only
    path, root = request.url.path, request.scope.get("root_path", "")
    if error.status_code == NOT_FOUND and path == root and request.method in ("GET", "HEAD"):
        # Without scheme and host: they are only what a proxy and the client say they are.
        return Response(status_code=307, headers={"Location": f"{root}/"})
    code, title = _STATUS_CODES.get(error.status_code, ("http_error", str(error.detail)))
    shown = ModelpoolError(f"{title}: {request.method} {path}{_cure(request, path)}")
    shown.code, shown.title, shown.status = code, title, error.status_code
    answer = problem_response(shown, request.url.path)
    for name, value in (error.headers or {}).items():
        answer.headers[name] = value
    if error.status_code == METHOD_NOT_ALLOWED:
        answer.headers["Allow"] = ", ".join(_methods(request))
    return answer


def _methods(request: Request, **changes: str) -> list[str]:
    """All methods of the path; each route by itself knows only its own. ``changes`` are other parts of the scope."""
    routes: list[Route] = request.app.state.routes
    matching = [route for route in routes if route.matches({**request.scope, **changes})[0] is not Match.NONE]
    return sorted({method for route in matching for method in route.methods or ()})


def _cure(request: Request, path: str) -> str:
    """What helps against a slash at the end. To be sent elsewhere with prompt and key would not."""
    without = path.rstrip("/")
    there = without != path and request.method in _methods(request, path=without)
    return f"; leave the slash at the end away: {without}" if there else ""


async def _unexpected(request: Request, error: Exception) -> Response:
    # Starlette logs the traceback; the sender learns nothing of our insides.
    return problem_response(
        ModelpoolError("something went wrong on our side; try again, and tell the operator if it stays"),
        request.url.path,
    )


def install(app: FastAPI) -> None:
    """Answer every error of ``app`` with a problem."""
    app.add_exception_handler(ModelpoolError, _modelpool_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unexpected)


PROBLEM_SCHEMA: dict[str, Any] = {
    "description": "What went wrong and how to mend it.",
    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's ``responses`` for errors with these statuses."""
    return {status: {**PROBLEM_SCHEMA, "description": _DESCRIPTIONS[status]} for status in statuses}


_DESCRIPTIONS = {
    400: "The body is malformed.",
    401: "The API key or the token is not known.",
    404: "There is no such thing, or no longer.",
    408: "The body did not come in time; the connection is closed.",
    409: "The job has already ended.",
    413: "The body is too large.",
    416: "The range lies outside of the file.",
    422: "A field cannot be accepted; `param` names it.",
    403: "This is not open here, or not without a solved challenge (`challenge`).",
    429: "Today's allowance is used up, too many requests came at one moment, or they look like a program's; `Retry-After` "
    "says when to come back. With a `challenge` the last is answered at once: send the request again with its solution.",
    431: "The request's line and headers are too large; the connection is closed.",
    503: QueueUnavailable.__doc__ or "",
}
