"""A full lane turns people away before anything is charged; the others stay open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from modelpool.queue.connection import connect
from modelpool.queue.redis import RedisQueue
from support import wait_until
from support.fake_worker import FakeWorker
from support.running_api import POOL, published
from support.visitors import ADMIN, Door, Visitor, door_settings, open_door

LIMIT = 0.5
ADMISSION = f"{{profile: local, overload: {{paid: null, account: {2 * LIMIT}, anonymous: {LIMIT}}}}}"


@pytest.fixture
async def client(redis_url_any: str) -> AsyncIterator[Redis]:
    client = await connect(redis_url_any)
    yield client
    await client.aclose()


@pytest.fixture
async def door(redis_url_any: str, tmp_path: Path) -> AsyncIterator[Door]:
    async with published(redis_url_any), open_door(door_settings(redis_url_any, tmp_path, ADMISSION)) as door:
        yield door


async def keyed(door: Door, plan: str) -> Visitor:
    headers = {"Authorization": f"Bearer {ADMIN}"}
    answer = await door.call("POST", "/v1/admin/keys", json={"name": plan, "plan": plan}, headers=headers)
    return Visitor(door, key=answer.json()["key"])


async def test_each_lane_closes_at_its_own_limit_and_paid_still_enters(door: Door) -> None:
    anonymous, account, paid = Visitor(door), await keyed(door, "account"), await keyed(door, "paid")
    rush = await asyncio.gather(*(anonymous.ask() for _ in range(60)))
    let_in = [answer for answer in rush if answer.status_code == 202]
    # The process counts what it lets in itself, so a rush does not slip through between two looks at the queue.
    work = (await door.context.pools.all()[0].queue.get(let_in[0].json()["id"])).work
    assert abs(len(let_in) - (LIMIT / work + 1)) <= 2
    assert (await account.ask()).status_code == 202
    for _ in range(60):
        await account.ask()
    assert (await account.ask()).status_code == 503
    assert (await paid.ask()).status_code == 202
    assert (await paid.ask()).json()["lane"] == "paid"


async def test_the_refusal_says_when_to_come_back_charges_nothing_and_counts_as_demand(
    door: Door, client: Redis
) -> None:
    visitor = Visitor(door)
    while (answer := await visitor.ask()).status_code == 202:
        pass
    before = await visitor.remaining()
    assert answer.status_code == 503
    assert 1 <= int(answer.headers["retry-after"]) <= 120
    problem = answer.json()
    assert problem["type"] == "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity"
    assert problem["error"]["code"] == "overloaded"
    assert "nothing was charged" in problem["detail"]
    assert (await visitor.ask()).status_code == 503
    assert await visitor.remaining() == before
    minutes = [await client.hgetall(key) async for key in client.scan_iter(POOL.key("demand", "*"))]
    asked = sum(int(counts["shapes"]) for counts in minutes)
    waiting = (await RedisQueue(POOL, client).depths())["shapes"].queued
    assert asked == waiting + 2
    metrics = (await door.call("GET", "/metrics")).text
    shed = 'modelpool_requests_total{lane="anonymous",model="shapes",outcome="shed",pool="default/studio"} 2.0'
    assert shed in metrics


async def test_a_request_that_is_in_already_is_answered_with_its_job(door: Door) -> None:
    visitor = Visitor(door)
    headers = {"Idempotency-Key": "mine"}
    first = await visitor.ask(prompt="mine", headers=headers)
    while (await visitor.ask()).status_code == 202:
        pass
    again = await visitor.ask(prompt="mine", headers=headers)
    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])


async def test_when_the_queue_has_emptied_the_lane_is_open_again(door: Door, client: Redis) -> None:
    visitor = Visitor(door)
    while (await visitor.ask()).status_code == 202:
        pass
    worker = FakeWorker(RedisQueue(POOL, client), door.context.store, ("shapes",))

    async def is_open() -> bool:
        return (await visitor.ask()).status_code == 202

    async with worker.work():
        await wait_until(is_open)
