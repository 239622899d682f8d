"""What answers allow browsers to do with them, and pages of other sites to ask."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from support.running_api import published
from support.visitors import Door, Visitor, door_settings, open_door

GALLERY = "https://gallery.example"
ADMISSION = f"{{profile: local, cors: {{allowedOrigins: ['{GALLERY}'], allowCredentials: true}}}}"


@pytest.fixture
async def door(redis_url_any: str, tmp_path: Path) -> AsyncIterator[Door]:
    async with published(redis_url_any), open_door(door_settings(redis_url_any, tmp_path, ADMISSION)) as door:
        yield door


def assert_guarded(answer: httpx.Response) -> None:
    """It tells browsers how little it may do, and has a name for whoever asks about it."""
    headers = answer.headers
    assert headers.get_list("x-content-type-options") == ["nosniff"]
    assert headers.get_list("referrer-policy") == ["no-referrer"]
    assert headers.get_list("x-frame-options") == ["DENY"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert len(headers["x-request-id"]) == 32


@pytest.mark.parametrize("path", ["/", "/docs", "/v1/models", "/v1/quota", "/healthz", "/absent", "/v1/jobs/x"])
async def test_no_answer_is_sniffed_framed_or_passes_its_address_on(door: Door, path: str) -> None:
    assert_guarded(await door.call("GET", path))


@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/quota"), ("POST", "/v1/jobs")])
async def test_nor_does_an_answer_to_what_nobody_has_foreseen_and_named_pages_may_read_it(
    door: Door, monkeypatch: pytest.MonkeyPatch, method: str, path: str
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("modelpool_api.identity.resolver.read_signals", broken)
    answer = await door.call(method, path, headers={"Origin": GALLERY})
    assert answer.status_code == 500
    assert_guarded(answer)
    assert answer.headers["access-control-allow-origin"] == GALLERY


@pytest.mark.parametrize(
    ("origin", "changes", "wrong"),
    [
        ("https://evil.example", {}, "origin"),
        (GALLERY, {"Method": "PUT"}, "method"),
        (GALLERY, {"Headers": "x-other"}, "headers"),
        ("https://evil.example", {"Method": "PUT"}, "origin, method"),
    ],
)
async def test_nor_does_a_question_that_is_refused_before_the_request_which_is_a_problem_too(
    door: Door, origin: str, changes: dict[str, str], wrong: str
) -> None:
    asks = {"Method": "POST", **changes}
    headers = {"Origin": origin, **{f"Access-Control-Request-{name}": value for name, value in asks.items()}}
    refused = await door.call("OPTIONS", "/v1/jobs", headers=headers)
    assert (refused.status_code, refused.headers["content-type"]) == (403, "application/problem+json")
    problem = refused.json()
    assert (problem["instance"], problem["error"]["code"]) == ("/v1/jobs", "forbidden")
    assert f": {wrong}." in problem["detail"]
    assert_guarded(refused)
    assert refused.headers.get("access-control-allow-origin") == (GALLERY if origin == GALLERY else None)
    assert "Origin" in refused.headers["vary"]


async def test_only_the_reference_page_runs_scripts_of_its_own_text(door: Door) -> None:
    policies = {path: (await door.call("GET", path)).headers["content-security-policy"] for path in ("/", "/docs")}
    assert "script-src 'self';" in policies["/"]
    assert "script-src 'self' 'unsafe-inline';" in policies["/docs"]
    data = (await door.call("GET", "/v1/models")).headers["content-security-policy"]
    assert data == "default-src 'none'; frame-ancestors 'none'"


async def test_a_named_page_may_ask_and_read_what_it_needs(door: Door) -> None:
    asks = {
        "Origin": GALLERY,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, content-type, idempotency-key, modelpool-fingerprint",
    }
    preflight = await door.call("OPTIONS", "/v1/jobs", headers=asks)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == GALLERY
    answer = await Visitor(door, headers={"Origin": GALLERY}).ask()
    assert answer.headers["access-control-allow-credentials"] == "true"
    told = set(answer.headers["access-control-expose-headers"].split(", "))
    assert {"Location", "RateLimit", "Retry-After", "X-Request-Id"} <= told


async def test_a_refusal_can_be_read_too_and_other_pages_are_told_nothing(door: Door) -> None:
    refused = await Visitor(door, headers={"Origin": GALLERY}).ask(width=63)
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (422, GALLERY)
    other = await Visitor(door, headers={"Origin": "https://evil.example"}).ask()
    assert "access-control-allow-origin" not in other.headers
