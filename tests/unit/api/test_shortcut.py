"""The short way to one route: the same answers, and everything else passes by."""

from __future__ import annotations

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from modelpool.errors import InvalidInput, ModelpoolError
from modelpool_api.problems import problem_response
from modelpool_api.shortcut import Shortcut


async def elsewhere(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("the long way")(scope, receive, send)


async def endpoint(request: Request) -> Response:
    if await request.body() == b"wrong":
        raise InvalidInput("that is wrong", param="model")
    return PlainTextResponse("the short way")


def told(request: Request, error: ModelpoolError) -> Response:
    return problem_response(error, request.scope["path"])


def client() -> httpx.AsyncClient:
    app = Shortcut(elsewhere, "POST", {"/v1/jobs", "/pool/v1/jobs"}, endpoint, told)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api")


@pytest.mark.parametrize(
    ("method", "path", "way"),
    [
        ("POST", "/v1/jobs", "short"),
        ("POST", "/pool/v1/jobs", "short"),
        ("GET", "/v1/jobs", "long"),
        ("POST", "/v1/jobs/", "long"),
        ("POST", "/v1/jobs/1", "long"),
    ],
)
async def test_only_its_own_method_and_paths_take_the_short_way(method: str, path: str, way: str) -> None:
    async with client() as http:
        assert (await http.request(method, path)).text == f"the {way} way"


async def test_an_error_is_answered_with_a_problem() -> None:
    async with client() as http:
        answer = await http.post("/v1/jobs", content=b"wrong")
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.json()["param"], answer.json()["instance"]) == ("model", "/v1/jobs")
