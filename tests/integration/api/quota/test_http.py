"""The quota as clients meet it."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from modelpool.lasting import is_lasting
from modelpool.queue.redis import RedisQueue
from modelpool_api import background
from support.fake_worker import FakeWorker
from support.pictures import picture
from support.queues import Clock
from support.running_api import POOL, published
from support.visitors import Door, Visitor, door_settings, open_door

SMALL = """
anonymous: {cookie: 6, fingerprintAndPrefix: 6, prefixWithoutSignals: 6, burst: {perSecond: 1000, burst: 1000}}
plans: {account: {perDay: 10}, paid: {lane: paid, perDay: 20}}
"""


@pytest.fixture
async def door(redis_url: str, tmp_path: Path, clock: Clock) -> AsyncIterator[Door]:
    """A process with a small allowance."""
    async with published(redis_url), open_door(door_settings(redis_url, tmp_path, SMALL), clock) as door:
        yield door


@pytest.fixture
async def browser(door: Door) -> Visitor:
    """Somebody whose page has been loaded: cookie and fingerprint are there."""
    visitor = Visitor(door, fingerprint="f" * 32)
    await visitor.call("GET", "/v1/quota")
    return visitor


async def test_what_is_left_is_told_with_every_answer(browser: Visitor) -> None:
    answer = await browser.ask()
    assert answer.status_code == 202
    assert answer.headers["ratelimit-policy"] == '"daily";q=6;w=86400'
    assert answer.headers["ratelimit"] == '"daily";r=5;t=43200'
    quota = await browser.call("GET", "/v1/quota")
    assert quota.json() == {
        "lane": "anonymous",
        "ceiling": "visitor",
        "limit": 6,
        "remaining": 5,
        "resetsAt": "2024-10-05T00:00:00.000Z",
        "resetSeconds": 43_200,
    }
    assert quota.headers["ratelimit"] == answer.headers["ratelimit"]
    assert quota.headers["cache-control"] == "no-store"


async def test_when_it_is_used_up_the_answer_is_gentle_and_says_when_there_is_more(browser: Visitor) -> None:
    assert await browser.admitted(8) == 6
    answer = await browser.ask()
    problem = answer.json()
    assert answer.status_code == 429
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["type"] == "https://iana.org/assignments/http-problem-types#quota-exceeded"
    assert problem["violated-policies"] == ["daily"]
    assert (problem["error"]["type"], problem["error"]["code"]) == ("rate_limit_error", "quota_exceeded")
    assert "POST /v1/accounts" in problem["detail"]
    assert (answer.headers["retry-after"], answer.headers["x-should-retry"]) == ("43200", "false")
    assert answer.headers["ratelimit"] == '"daily";r=0;t=43200'


async def test_a_video_costs_more_and_what_does_not_fit_is_refused_whole(browser: Visitor) -> None:
    def video() -> dict[str, object]:
        return {"data": {"model": "clips"}, "files": {"image": ("a.png", picture())}}

    assert (await browser.call("POST", "/v1/jobs", **video())).status_code == 202
    assert await browser.remaining() == 1
    refused = await browser.call("POST", "/v1/jobs", **video())
    assert refused.status_code == 429
    assert "1 are left and this needs 5" in refused.json()["detail"]
    assert await browser.admitted(2) == 1


async def test_reading_waiting_and_asking_for_the_quota_cost_nothing(browser: Visitor) -> None:
    job = (await browser.ask()).json()["id"]
    for path in (f"/v1/jobs/{job}", "/v1/models", "/v1/quota", f"/v1/jobs/{job}?wait=0"):
        assert (await browser.call("GET", path)).status_code == 200
    assert await browser.remaining() == 5


async def test_what_cannot_be_made_costs_nothing(browser: Visitor) -> None:
    assert (await browser.ask(width=63)).status_code == 422
    assert (await browser.ask(model="none")).status_code == 404
    broken = await browser.call("POST", "/v1/jobs", data={"model": "clips"}, files={"image": ("a.png", b"broken")})
    assert broken.status_code == 422
    assert await browser.remaining() == 6


async def test_a_cached_and_a_joined_request_cost_like_any_other(browser: Visitor) -> None:
    for _ in range(3):
        await browser.ask(prompt="the same", seed=7)
    assert await browser.remaining() == 3


async def test_a_cancelled_job_is_refunded_in_its_turn(browser: Visitor, door: Door) -> None:
    job = (await browser.ask()).json()["id"]
    await browser.call("DELETE", f"/v1/jobs/{job}")
    await background.give_back(door.context)
    assert await browser.remaining() == 6
    await background.give_back(door.context)
    assert await browser.remaining() == 6


async def test_a_job_that_runs_or_is_done_is_not_refunded(browser: Visitor, door: Door, client: Redis) -> None:
    worker = FakeWorker(RedisQueue(POOL, client), door.context.store, ("shapes",))
    job = (await browser.ask()).json()["id"]
    batch = await worker.claim()
    await browser.call("DELETE", f"/v1/jobs/{job}")
    await background.give_back(door.context)
    assert await browser.remaining() == 5
    assert batch.jobs[0].id == job


async def test_a_failed_job_is_refunded_and_so_are_its_followers(browser: Visitor, door: Door, client: Redis) -> None:
    worker = FakeWorker(RedisQueue(POOL, client), door.context.store, ("shapes",))
    for _ in range(3):
        await browser.ask(prompt="the same", seed=7)
    await worker.fail(await worker.claim())
    await background.give_back(door.context)
    assert await browser.remaining() == 6


async def test_a_repeated_request_is_one_job_and_one_charge_even_at_the_end_of_the_allowance(browser: Visitor) -> None:
    await browser.admitted(5)
    headers = {"Idempotency-Key": "k"}
    answers = await asyncio.gather(*(browser.ask(prompt="x", headers=headers) for _ in range(10)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert await browser.remaining() == 0
    conflict = await browser.ask(prompt="another", headers=headers)
    assert conflict.status_code == 422


async def test_a_request_whose_job_never_came_to_be_is_returned_after_a_minute(
    browser: Visitor, door: Door, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = door.context.pools.all()[0].queue

    async def lost(job: object) -> None:
        raise OSError("the process died here")

    monkeypatch.setattr(queue, "enqueue", lost)
    assert (await browser.ask(headers={"Idempotency-Key": "k"})).status_code == 500
    monkeypatch.undo()
    assert await browser.remaining() == 5
    clock.pass_seconds(60)
    await background.give_back(door.context)
    assert await browser.remaining() == 6
    assert (await browser.ask()).status_code == 202
    clock.pass_seconds(60)
    await background.give_back(door.context)
    assert await browser.remaining() == 5


async def test_two_processes_share_one_allowance_exactly(
    browser: Visitor, redis_url: str, tmp_path: Path, clock: Clock
) -> None:
    async with open_door(door_settings(redis_url, tmp_path, SMALL), clock) as second:
        there = Visitor(second, browser.address, browser.fingerprint, cookie=browser.cookie)
        answers = await asyncio.gather(*(one.ask() for _ in range(20) for one in (browser, there)))
    assert sum(answer.status_code == 202 for answer in answers) == 6


async def test_too_many_at_one_moment_are_told_to_come_back_in_a_second(redis_url: str, tmp_path: Path) -> None:
    async with published(redis_url), open_door(door_settings(redis_url, tmp_path, "")) as door:
        answers = await asyncio.gather(*(Visitor(door).ask() for _ in range(30)))
    refused = [answer for answer in answers if answer.status_code == 429]
    assert 5 <= len(answers) - len(refused) <= 8  # the last ones may come a moment later
    assert refused[0].json()["error"]["code"] == "too_many_requests"
    assert refused[0].json()["violated-policies"] == ["burst"]
    assert 1 <= int(refused[0].headers["retry-after"]) <= 3


async def test_a_refusal_gives_a_cookie_too(redis_url: str, tmp_path: Path) -> None:
    settings = door_settings(redis_url, tmp_path, "anonymous: {prefixWithoutSignals: 0}")
    async with published(redis_url), open_door(settings) as door:
        answer = await Visitor(door).ask()
    assert answer.status_code == 429
    assert answer.headers["set-cookie"].startswith("modelpool_visitor=")
    assert "HttpOnly; SameSite=Lax" in answer.headers["set-cookie"]


async def test_nothing_in_redis_or_in_the_log_tells_who_asked_and_every_key_expires(
    browser: Visitor, door: Door, client: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        for address in ("198.51.100.23", "2001:db8:77:88::99"):
            visitor = Visitor(door, address, fingerprint="anything-that-tells-me-apart")
            await visitor.ask(prompt="confidential words")
            await visitor.ask(headers={"Idempotency-Key": "k"})
            account = (await visitor.call("POST", "/v1/accounts")).json()
            await Visitor(door, address, key=account["key"]).ask()
    told = [str(visitor.cookie).rpartition("=")[2].split(".")[1], account["key"].split("_", 2)[2]]
    telling = ["198.51.100", "2001:db8", "anything-that", *told]
    held = []
    async for found in client.scan_iter("*"):
        key = str(found)
        if await client.pttl(key) < 0:
            assert is_lasting(key), key
        kind = await client.type(key)
        read = {"hash": client.hgetall, "string": client.get}.get(str(kind))
        # Of what is counted about (device, spread) Redis keeps a sketch, which holds no member.
        sketch = key.startswith(("mpl:{door}:seen:device:", "mpl:{door}:seen:spread:"))
        content: object = await read(key) if read is not None and not sketch else ""
        if kind == "zset":
            content = await client.zrange(key, 0, -1)
        held.append(f"{key} {content!r}")
    for word in telling:
        assert not [entry for entry in held if word in entry], word
        assert word not in caplog.text
    assert "confidential" not in caplog.text
    assert re.search(r"use:\d+:", " ".join(held))
