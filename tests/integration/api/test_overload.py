"""A full lane turns people away before anything is charged; the others stay open."""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from redis.asyncio import Redis

from modelpool.errors import IdempotencyConflict, ModelpoolError, QueueUnavailable
from modelpool.jobs import Lane
from modelpool.queue.connection import connect
from modelpool.queue.redis import RedisQueue
from modelpool_api.inputs import Picture
from modelpool_api.settings import Settings
from support import wait_until
from support.fake_worker import FakeWorker
from support.pictures import picture
from support.running_api import CATALOG, POOL, SHAPES, published
from support.visitors import ADMIN, Door, Visitor, door_settings, open_door

LIMIT = 0.5
ADMISSION = f"{{profile: local, overload: {{paid: null, account: {2 * LIMIT}, anonymous: {LIMIT}}}}}"
NEVER = 3600.0
PATIENCE = 60.0
"""Seconds in which the slowest machine does what is waited for here."""


@pytest.fixture
async def client(redis_url_any: str) -> AsyncIterator[Redis]:
    client = await connect(redis_url_any)
    yield client
    await client.aclose()


def settings_for(redis_url: str, folder: Path, document: str) -> Settings:
    """The queue is looked at once, and then when a test says so. What comes in during a look counts twice until the next."""
    return replace(door_settings(redis_url, folder, document), refresh_seconds=NEVER)


@pytest.fixture
async def door(redis_url_any: str, tmp_path: Path) -> AsyncIterator[Door]:
    async with published(redis_url_any), open_door(settings_for(redis_url_any, tmp_path, ADMISSION)) as door:
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


class TestWhoIsTurnedAway:
    """A refusal costs nobody anything, and still nobody gets it for less than a job."""

    @staticmethod
    async def door(stack: AsyncExitStack, redis_url: str, folder: Path, anonymous: str) -> Door:
        """With these limits for the anonymous, and a lane that one job fills."""
        document = f"{{profile: local, anonymous: {anonymous}, overload: {{anonymous: 0.0001}}}}"
        await stack.enter_async_context(published(redis_url))
        door = await stack.enter_async_context(open_door(settings_for(redis_url, folder, document)))
        assert (await (await keyed(door, "paid")).ask()).status_code == 202
        return door

    async def test_keeps_the_pace(self, redis_url_any: str, tmp_path: Path) -> None:
        async with AsyncExitStack() as stack:
            slowly = "{burst: {perSecond: 0.001, burst: 5}}"
            door = await self.door(stack, redis_url_any, tmp_path, slowly)
            statuses = [(await Visitor(door).ask()).status_code for _ in range(12)]
        assert statuses == [503] * 5 + [429] * 7

    async def test_keeps_the_pace_with_an_image_too_and_it_is_not_kept(
        self, redis_url_any: str, tmp_path: Path
    ) -> None:
        async with AsyncExitStack() as stack:
            slowly = "{burst: {perSecond: 0.001, burst: 5}}"
            door = await self.door(stack, redis_url_any, tmp_path, slowly)
            image = {"base64": base64.b64encode(picture()).decode()}
            statuses = [(await Visitor(door).ask(image=image)).status_code for _ in range(12)]
            kept = [found async for found in door.context.store.list("inputs")]
        assert statuses == [503] * 5 + [429] * 7
        assert kept == []

    async def test_is_the_second_of_two_however_long_the_first_takes_to_come_in(
        self, redis_url_any: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(published(redis_url_any))
            settings = settings_for(redis_url_any, tmp_path, "{profile: local, overload: {anonymous: 0.0001}}")
            door = await stack.enter_async_context(open_door(settings))
            inputs, goes_on, asked = door.context.inputs, asyncio.Event(), asyncio.Event()
            read = inputs.read

            async def slowly(image: bytes | str) -> Picture:
                asked.set()
                await goes_on.wait()
                return await read(image)

            monkeypatch.setattr(inputs, "read", slowly)
            image = {"base64": base64.b64encode(picture()).decode()}
            first = asyncio.create_task(Visitor(door).ask(image=image))
            await asked.wait()
            for _ in range(3):
                await door.context.pools.refresh()
            second = await Visitor(door).ask()
            goes_on.set()
            assert ((await first).status_code, second.status_code) == (202, 503)

    @pytest.mark.parametrize("failure", [QueueUnavailable("Redis is away"), IdempotencyConflict("another request")])
    async def test_is_nobody_when_the_first_did_not_come_in(
        self, redis_url_any: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: ModelpoolError
    ) -> None:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(published(redis_url_any))
            settings = settings_for(redis_url_any, tmp_path, "{profile: local, overload: {anonymous: 0.0001}}")
            door = await stack.enter_async_context(open_door(settings))

            async def fails(_: object) -> None:
                raise failure

            with monkeypatch.context() as patched:
                patched.setattr(door.context.pools.all()[0].queue, "enqueue", fails)
                assert (await Visitor(door).ask()).status_code == failure.status
            assert (await Visitor(door).ask()).status_code == 202

    async def test_counts_as_demand_for_no_more_than_their_units(
        self, redis_url_any: str, tmp_path: Path, client: Redis
    ) -> None:
        async with AsyncExitStack() as stack:
            door = await self.door(stack, redis_url_any, tmp_path, "{cookie: 7, prefixWithoutSignals: 7}")
            visitor = Visitor(door)
            statuses = {(await visitor.ask()).status_code for _ in range(30)}
            assert statuses == {503}
            metrics = (await door.call("GET", "/metrics")).text
            left = await visitor.remaining()
        minutes = [await client.hgetall(key) async for key in client.scan_iter(POOL.key("demand", "*"))]
        assert sum(int(counts["shapes"]) for counts in minutes) == 1 + 7
        assert 'lane="anonymous",model="shapes",outcome="shed",pool="default/studio"} 7.0' in metrics
        assert 'lane="anonymous",model="shapes",outcome="refused",pool="default/studio"} 23.0' in metrics
        assert left == 7

    async def test_hears_that_the_units_are_used_up_where_they_are(self, redis_url_any: str, tmp_path: Path) -> None:
        async with AsyncExitStack() as stack:
            door = await self.door(stack, redis_url_any, tmp_path, "{cookie: 0, prefixWithoutSignals: 0}")
            answer = await Visitor(door).ask()
        assert answer.status_code == 429
        assert answer.json()["error"]["code"] == "quota_exceeded"
        assert "POST /v1/accounts" in answer.json()["detail"]


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
    worker = FakeWorker(RedisQueue(POOL, client), door.context.store, ("shapes",), patience=PATIENCE)

    async def is_open() -> bool:
        await door.context.pools.refresh()
        return (await visitor.ask()).status_code == 202

    async with worker.work():
        await wait_until(is_open, PATIENCE)


async def test_those_who_were_refused_together_come_back_bit_by_bit_and_all_get_in(
    redis_url_any: str, tmp_path: Path, client: Redis
) -> None:
    document = "{profile: local, overload: {anonymous: 1}}"
    async with published(redis_url_any), open_door(settings_for(redis_url_any, tmp_path, document)) as door:
        visitor, pool = Visitor(door), door.context.pools.all()[0]
        rush = await asyncio.gather(*(visitor.ask() for _ in range(120)))
        refused = [answer for answer in rush if answer.status_code == 503]
        assert len(refused) > 60
        returning = Counter(int(answer.headers["retry-after"]) for answer in refused)
        assert max(returning.values()) <= len(refused) / 3
        assert max(returning) - min(returning) >= 8

        async def is_empty() -> bool:
            await door.context.pools.refresh()
            return pool.wait(SHAPES, Lane.ANONYMOUS) == 0

        worker = FakeWorker(RedisQueue(POOL, client), door.context.store, ("shapes",), patience=PATIENCE)
        async with worker.work():
            for _, many in sorted(returning.items()):
                await wait_until(is_empty, PATIENCE)  # as it is after that second, or earlier
                answers = await asyncio.gather(*(visitor.ask() for _ in range(many)))
                assert {answer.status_code for answer in answers} == {202}


@pytest.mark.parametrize(("target", "open_lane"), [(0.1, False), (1000, True)])
async def test_how_long_is_too_long_follows_from_what_the_pool_has_promised(
    redis_url_any: str, tmp_path: Path, target: float, open_lane: bool
) -> None:
    document = "{profile: local, overload: {anonymous: 5x}}"
    async with published(redis_url_any) as (_, board):
        await board.put_catalog(CATALOG.model_copy(update={"target_seconds": target}))
        async with open_door(settings_for(redis_url_any, tmp_path, document)) as door:
            visitor = Visitor(door)
            statuses = {(await visitor.ask()).status_code for _ in range(60)}
    assert (statuses == {202}) is open_lane


class TestWhatNeedsNoRoom:
    """A picture that is there, or on its way, takes no place in the line: it is answered while its lane is full."""

    @staticmethod
    async def fill(door: Door, visitor: Visitor) -> None:
        """Other words each time, until the lane is full, also for who has looked at the queue again meanwhile."""
        while (await visitor.ask()).status_code == 202:
            pass
        await door.context.pools.refresh()  # what was counted, and was made meanwhile, is forgotten
        while (await visitor.ask()).status_code == 202:
            pass

    @staticmethod
    async def make(door: Door, client: Redis, visitor: Visitor, **fields: object) -> None:
        """Have a picture made, and wait until the process has learned how long that takes."""
        assert (await visitor.ask(**fields)).status_code == 202
        worker = FakeWorker(RedisQueue(POOL, client), door.context.store, ("shapes",))
        await worker.finish(await worker.claim())
        await wait_until(lambda: door.context.pools.all()[0].paces, PATIENCE)

    @pytest.mark.parametrize("fields", [{"seed": 7}, {}], ids=["seed", "ring"])
    async def test_a_picture_that_was_made_is_answered(
        self, door: Door, client: Redis, fields: dict[str, object]
    ) -> None:
        maker, visitor = await keyed(door, "paid"), Visitor(door)
        # Without a seed: all eight entries of the ring.
        for _ in range(1 if fields else 8):
            await self.make(door, client, maker, prompt="mine", **fields)
        await self.fill(door, visitor)
        before = await visitor.remaining()
        answer = await visitor.ask(prompt="mine", **fields)
        assert (answer.status_code, answer.json()["cached"]) == (200, True)
        assert await visitor.remaining() == before - 1
        assert (await visitor.ask(prompt="mine", cache=False, **fields)).status_code == 503

    async def test_a_picture_on_its_way_is_followed(self, door: Door) -> None:
        visitor = Visitor(door)
        first = await visitor.ask(prompt="mine", seed=7)
        await self.fill(door, visitor)
        again = await visitor.ask(prompt="mine", seed=7)
        assert (again.status_code, again.json()["state"]) == (202, "following")
        assert again.json()["id"] != first.json()["id"]

    async def test_the_same_with_an_input_image_which_is_read_only_once_units_are_taken(
        self, door: Door, client: Redis
    ) -> None:
        visitor = Visitor(door)
        image = {"base64": base64.b64encode(picture()).decode()}
        await self.make(door, client, visitor, prompt="mine", seed=7, image=image)
        await self.fill(door, visitor)
        assert (await visitor.ask(prompt="mine", seed=7, image=image)).json()["cached"]
        before = await visitor.remaining()
        assert (await visitor.ask(prompt="other words", seed=7, image=image)).status_code == 503
        assert await visitor.remaining() == before

    async def test_it_still_passes_every_limit(self, redis_url_any: str, tmp_path: Path, client: Redis) -> None:
        few = f"{{profile: local, anonymous: {{prefixWithoutSignals: 60}}, overload: {{anonymous: {LIMIT}}}}}"
        async with published(redis_url_any), open_door(settings_for(redis_url_any, tmp_path, few)) as door:
            visitor = Visitor(door, keeps_cookies=False)
            await self.make(door, client, visitor, prompt="mine", seed=7)
            await self.fill(door, visitor)
            statuses = [(await visitor.ask(prompt="mine", seed=7)).status_code for _ in range(60)]
        assert set(statuses) == {200, 429}
        assert statuses == sorted(statuses)
