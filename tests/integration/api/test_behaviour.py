"""Unusual use: noticed in shadow, answered gently when enforced, and never for those with an account."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from modelpool.queue.connection import connect
from support.running_api import published
from support.visitors import Door, Visitor, door_settings, open_door

LIMITS = "rapidPerMinute: 12, identicalPerHour: 5, visitorsPerDevice: 4, networksPerFingerprint: 3"
FINGERPRINT = "one-fingerprint-for-all"


@pytest.fixture(params=["shadow", "enforce"])
def mode(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
async def door(redis_url: str, tmp_path: Path, mode: str) -> AsyncIterator[Door]:
    document = f"{{profile: local, behaviour: {{mode: {mode}, {LIMITS}}}}}"
    async with published(redis_url), open_door(door_settings(redis_url, tmp_path, document)) as door:
        yield door


async def count(door: Door, pattern: str) -> float:
    lines = (await door.call("GET", "/metrics")).text.splitlines()
    found = [line for line in lines if line.startswith("modelpool_unusual_use_total") and f'"{pattern}"' in line]
    return float(found[0].split()[-1]) if found else 0.0


async def browser(door: Door, address: str = "192.0.2.7") -> Visitor:
    visitor = Visitor(door, address, FINGERPRINT)
    await visitor.call("GET", "/v1/quota")
    return visitor


async def check(door: Door, mode: str, pattern: str, visitors: list[Visitor], usual: int, **fields: object) -> None:
    """The first ``usual`` requests are usual; those after them are noticed, and refused where that is enforced."""
    answers = [await visitor.ask(**fields) for visitor in visitors]
    statuses = [answer.status_code for answer in answers]
    late = len(visitors) - usual
    refused = 429 if mode == "enforce" else 202
    assert statuses == [202] * usual + [refused] * late
    assert await count(door, pattern) == late
    if mode == "enforce":
        problem = answers[-1].json()
        assert problem["type"].endswith("#abnormal-usage-detected")
        assert problem["violated-policies"] == ["behaviour"]
        assert "POST /v1/accounts" in problem["detail"]
        assert int(answers[-1].headers["retry-after"]) in (60, 3600)


async def test_rapid_sequences(door: Door, mode: str) -> None:
    await check(door, mode, "rapid", [await browser(door)] * 15, 12)


async def test_identical_prompts(door: Door, mode: str) -> None:
    await check(door, mode, "identical", [await browser(door)] * 7, 5, prompt="the same", seed=7)


async def test_cleared_cookies_on_one_fingerprint(door: Door, mode: str) -> None:
    forgetful = Visitor(door, fingerprint=FINGERPRINT, keeps_cookies=False)
    await check(door, mode, "cleared_cookies", [forgetful] * 6, 4)


async def test_one_fingerprint_over_many_networks(door: Door, mode: str) -> None:
    people = [await browser(door, f"198.51.100.{number}") for number in range(5)]
    await check(door, mode, "many_networks", people, 3)


async def test_who_has_an_account_is_not_watched(door: Door) -> None:
    visitor = await browser(door)
    visitor.key = (await visitor.call("POST", "/v1/accounts")).json()["key"]
    assert {(await visitor.ask(prompt="the same", seed=7)).status_code for _ in range(15)} == {202}


async def test_a_refusal_costs_nothing_and_evidence_expires_and_names_nobody(
    door: Door, redis_url: str, mode: str
) -> None:
    visitor = await browser(door)
    before = await visitor.remaining()
    let_in = sum([(await visitor.ask(prompt="the same", seed=7)).status_code == 202 for _ in range(8)])
    assert await visitor.remaining() == before - let_in
    client: Redis = await connect(redis_url)
    keys = [str(key) async for key in client.scan_iter("mpl:{door}:seen:*")]
    assert len(keys) == 4
    for key in keys:
        assert 0 < await client.pttl(key) <= 86_400_000
        assert FINGERPRINT not in key
    await client.aclose()
