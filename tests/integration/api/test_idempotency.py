"""Idempotency-Key: a repeated request is the same job."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import httpx
import pytest

from modelpool.board import Board
from modelpool.errors import QueueUnavailable
from modelpool.jobs import NewJob
from modelpool.queue.port import Enqueued
from modelpool.queue.redis import RedisQueue
from modelpool.resources.pool import PoolRef
from modelpool_api.door_scripts import PREFIX
from modelpool_api.inputs import Picture
from modelpool_api.quota.ledger import Reserved
from support.pictures import picture
from support.running_api import CATALOG, PAID_KEY, POOL, SLOT, Api, heartbeat, published
from support.visitors import Visitor, door_settings, open_door

BODY: dict[str, object] = {"model": "shapes", "prompt": "a red circle"}


async def send(api: Api, key: str, body: dict[str, object] = BODY, **headers: str) -> httpx.Response:
    return await api.http.post("/v1/jobs", json=body, headers={"Idempotency-Key": key, **headers})


async def test_the_same_key_and_body_bring_the_same_job(api: Api) -> None:
    first, again = await send(api, "k1"), await send(api, "k1")
    assert first.json()["id"] == again.json()["id"]
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["location"] == first.headers["location"]
    assert (await api.queue.depths())["shapes"].queued == 1


async def test_the_order_of_fields_does_not_matter(api: Api) -> None:
    first = await send(api, "k1")
    again = await send(api, "k1", dict(reversed(list(BODY.items()))))
    assert first.json()["id"] == again.json()["id"]


async def test_requests_at_the_same_moment_are_one_job(api: Api) -> None:
    answers = await asyncio.gather(*(send(api, "k1") for _ in range(10)))
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert (await api.queue.depths())["shapes"].queued == 1


async def test_another_body_under_the_same_key_is_a_conflict(api: Api) -> None:
    await send(api, "k1")
    answer = await send(api, "k1", {**BODY, "prompt": "a blue square"})
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "idempotency_key_reused"


async def test_keys_of_different_people_are_different_keys(api: Api) -> None:
    first = await send(api, "k1")
    other = await send(api, "k1", {**BODY, "prompt": "another"}, Authorization=f"Bearer {PAID_KEY}")
    assert other.status_code == 202
    assert other.json()["id"] != first.json()["id"]


async def test_a_repeated_request_can_wait_for_the_first_job(api: Api) -> None:
    first = await send(api, "k1")
    waiting = asyncio.create_task(send(api, "k1", Prefer="wait=20"))
    await api.worker.finish(await api.worker.claim())
    again = await waiting
    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])


async def test_the_same_file_in_another_form_is_the_same_request(api: Api) -> None:
    def form() -> dict[str, tuple[str, bytes]]:
        return {"image": ("a.png", picture())}

    fields = {"model": "clips"}
    headers = {"Idempotency-Key": "k1"}
    answers = [await api.http.post("/v1/jobs", data=fields, files=form(), headers=headers) for _ in range(2)]
    assert answers[0].status_code == 202, answers[0].text
    assert answers[0].json()["id"] == answers[1].json()["id"]


async def test_an_image_that_came_before_under_its_key_is_not_read_again(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, images = api.context.inputs.read, []

    async def counted(data: bytes | str) -> Picture:
        images.append(len(data))
        return await read(data)

    monkeypatch.setattr(api.context.inputs, "read", counted)
    body: dict[str, object] = {"model": "clips", "image": {"base64": base64.b64encode(picture()).decode()}}
    jobs = {(await send(api, "k1", body)).json()["id"] for _ in range(5)}
    assert len(jobs) == len(images) == 1
    (job,) = jobs
    await api.worker.finish(await api.worker.claim())
    assert (await send(api, "k1", body)).json()["id"] == job
    assert len(images) == 1


@pytest.mark.parametrize("key", ["", "x" * 256, "with\ttab"])
async def test_a_key_of_no_use_is_refused(api: Api, key: str) -> None:
    answer = await send(api, key)
    assert answer.status_code == 422
    assert answer.json()["param"] == "Idempotency-Key"


async def test_only_the_job_is_expected_to_end_not_what_repeats_it_or_was_never_taken(
    redis_url_any: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with published(redis_url_any), open_door(door_settings(redis_url_any, tmp_path, "profile: local")) as door:
        visitor, outcomes = Visitor(door), door.app.state.outcomes
        same = {"prompt": "a red circle", "headers": {"Idempotency-Key": "k1"}}
        assert len({(await visitor.ask(**same)).json()["id"] for _ in range(10)}) == 1
        assert outcomes.expected == 1

        async def away(_: RedisQueue, __: NewJob) -> Enqueued:
            raise QueueUnavailable("Redis is away")

        monkeypatch.setattr(RedisQueue, "enqueue", away)
        assert (await visitor.ask()).status_code == 503
        assert outcomes.expected == 1


class TestTwoPoolsOfferTheModelAndNoneIsTheDefault:
    OTHER = PoolRef("default", "other")

    @pytest.fixture
    async def api(self, api: Api) -> Api:
        for pool in (POOL, self.OTHER):
            await Board(pool, api.redis).put_catalog(CATALOG.model_copy(update={"pool": str(pool), "default": False}))
        await self.only_worker_in(api, POOL)
        return api

    async def only_worker_in(self, api: Api, pool: PoolRef) -> None:
        """From now on ``pool`` is the quicker one."""
        for each in (POOL, self.OTHER):
            await api.redis.delete(Board(each, api.redis).keys.heartbeat(SLOT))
        await Board(pool, api.redis).beat(heartbeat())
        await api.context.pools.refresh()

    async def left(self, api: Api) -> int:
        left: int = (await api.http.get("/v1/quota")).json()["remaining"]
        return left

    async def test_a_request_made_again_when_the_other_is_quicker_is_the_same_job_and_charged_once(
        self, api: Api
    ) -> None:
        before = await self.left(api)
        first = await send(api, "k1")
        await self.only_worker_in(api, self.OTHER)
        again = await send(api, "k1")
        assert first.json()["id"].startswith(POOL.short_id)
        assert (again.json()["id"], again.headers["idempotency-replayed"]) == (first.json()["id"], "true")
        assert before - await self.left(api) == 1
        assert (await send(api, "k2")).json()["id"].startswith(self.OTHER.short_id)

    async def test_the_job_is_found_for_as_long_as_its_queue_remembers_the_key(self, api: Api) -> None:
        first = await send(api, "k1")
        async for known in api.redis.scan_iter(f"{PREFIX}:repeat:*"):
            await api.redis.delete(known)  # as if a day had passed
        await self.only_worker_in(api, self.OTHER)
        before = await self.left(api)
        assert (await send(api, "k1")).json()["id"] == first.json()["id"]
        assert await self.left(api) == before

    async def test_a_request_that_comes_between_the_first_ones_units_and_its_job_is_the_same_job(
        self, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before, reserve = await self.left(api), api.context.ledger.reserve
        between: list[httpx.Response] = []

        async def reserve_and_pause(*args: Any, **kwargs: Any) -> Reserved:
            reserved = await reserve(*args, **kwargs)
            monkeypatch.undo()
            await self.only_worker_in(api, self.OTHER)
            between.append(await send(api, "k1"))
            return reserved

        monkeypatch.setattr(api.context.ledger, "reserve", reserve_and_pause)
        first = await send(api, "k1")
        assert first.status_code == between[0].status_code == 202
        assert first.json()["id"] == between[0].json()["id"]
        assert before - await self.left(api) == 1

    async def test_another_body_under_the_key_is_a_conflict_whichever_pool_it_names(self, api: Api) -> None:
        await send(api, "k1", {**BODY, "model": "studio/shapes"})
        answer = await send(api, "k1", {**BODY, "model": "other/shapes"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "idempotency_key_reused")

    async def test_a_job_whose_pool_offers_the_model_no_more_is_not_made_and_charged_again(self, api: Api) -> None:
        await send(api, "k1")
        before = await self.left(api)
        await api.board.put_catalog(CATALOG.model_copy(update={"default": False, "models": ()}))
        await self.only_worker_in(api, self.OTHER)
        answer = await send(api, "k1")
        assert (answer.status_code, answer.json()["error"]["param"]) == (422, "Idempotency-Key")
        assert await self.left(api) == before
