"""What answers allow browsers to do with them, and pages of other sites to ask."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.running_api import published
from support.visitors import Door, Visitor, door_settings, open_door

GALLERY = "https://gallery.example"
ADMISSION = f"{{profile: local, cors: {{allowedOrigins: ['{GALLERY}'], allowCredentials: true}}}}"


@pytest.fixture
async def door(redis_url_any: str, tmp_path: Path) -> AsyncIterator[Door]:
    async with published(redis_url_any), open_door(door_settings(redis_url_any, tmp_path, ADMISSION)) as door:
        yield door


@pytest.mark.parametrize("path", ["/", "/docs", "/v1/models", "/v1/quota", "/healthz", "/absent", "/v1/jobs/x"])
async def test_no_answer_is_sniffed_framed_or_passes_its_address_on(door: Door, path: str) -> None:
    headers = (await door.call("GET", path)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-frame-options"] == "DENY"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]


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
    assert {"Location", "RateLimit", "Retry-After"} <= set(answer.headers["access-control-expose-headers"].split(", "))


async def test_a_refusal_can_be_read_too_and_other_pages_are_told_nothing(door: Door) -> None:
    refused = await Visitor(door, headers={"Origin": GALLERY}).ask(width=63)
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (422, GALLERY)
    other = await Visitor(door, headers={"Origin": "https://evil.example"}).ask()
    assert "access-control-allow-origin" not in other.headers
