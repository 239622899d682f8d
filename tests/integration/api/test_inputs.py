"""Input images: by job, by base64, by upload."""

from __future__ import annotations

import asyncio
import base64
import io
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from modelpool.queue.redis import RedisQueue
from modelpool_api.door_scripts import PREFIX
from modelpool_api.inputs import Picture
from modelpool_api.quota.ledger import Reserved
from support.fake_worker import FakeWorker
from support.pictures import picture
from support.running_api import POOL, Api, published
from support.visitors import Visitor, door_settings, open_door
from support.waiting import wait_until

TINY = base64.b64encode(picture("PNG")).decode()


@pytest.fixture
def redis_url(redis_url_any: str) -> str:
    """Nothing here can depend on Redis's version."""
    return redis_url_any


async def stored(api: Api, job: str) -> Image.Image:
    record = await api.queue.get(job)
    assert record.request.input is not None
    return Image.open(io.BytesIO(await api.context.store.get(record.request.input)))


async def finished_picture(api: Api) -> str:
    job = await api.submit()
    await api.worker.finish(await api.worker.claim(), picture("PNG", (64, 64), "blue"))
    return job


async def test_the_result_of_a_job_becomes_a_video(api: Api) -> None:
    first = await finished_picture(api)
    answer = await api.http.post("/v1/jobs", json={"model": "clips", "image": {"job": first}, "frames": 12})
    job = answer.json()
    assert (answer.status_code, job["task"]) == (202, "ImageToVideo")
    assert (await stored(api, job["id"])).getpixel((0, 0)) == (0, 0, 255)
    await api.worker.finish(await api.worker.claim())
    shown = await api.job(job["id"])
    assert shown["result"]["contentType"] == "video/mp4"  # type: ignore[index]
    assert shown["result"]["frames"] == 12  # type: ignore[index]

    video_as_input = await api.http.post("/v1/jobs", json={"model": "clips", "image": {"job": job["id"]}})
    assert video_as_input.status_code == 422
    assert "made a video" in video_as_input.json()["detail"]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("prefix", ["", "data:image/whatever;base64,"])
async def test_base64_is_taken_with_or_without_a_data_url(api: Api, kind: str, prefix: str) -> None:
    text = prefix + base64.b64encode(picture(kind)).decode()
    job = await api.submit(image={"base64": text}, strength=0.4)
    assert (await api.queue.get(job)).request.strength == 0.4
    assert (await stored(api, job)).format == "PNG"


async def test_a_file_is_taken_with_the_fields_as_text(api: Api) -> None:
    fields = {
        "model": "shapes",
        "prompt": "the same in snow",
        "steps": "2",
        "seed": "9",
        "guidance": "1.5",
        "style": "",
    }
    answer = await api.http.post("/v1/jobs", data=fields, files={"image": ("me.jpg", picture("JPEG"), "text/html")})
    assert answer.status_code == 202, answer.text
    request = (await api.queue.get(answer.json()["id"])).request
    assert (request.task.value, request.steps, request.seed, request.guidance) == ("ImageToImage", 2, 9, 1.5)
    assert request.prompt == "the same in snow"


async def test_a_form_without_a_file_names_a_job(api: Api) -> None:
    first = await finished_picture(api)
    answer = await api.http.post("/v1/jobs", files={"model": (None, "clips"), "image": (None, first)})
    assert answer.status_code == 202, answer.text


async def test_the_same_picture_is_the_same_input_whatever_its_file(api: Api) -> None:
    keys = set()
    for kind in ("PNG", "WEBP"):
        text = base64.b64encode(picture(kind, lossless=True)).decode()
        keys.add((await api.queue.get(await api.submit(image={"base64": text}))).request.input)
    assert len(keys) == 1
    (key,) = keys
    assert key is not None
    assert key.startswith("inputs/")


async def test_bytes_never_enter_redis(api: Api) -> None:
    marker = picture("PNG", (64, 64), "blue")
    await api.submit(image={"base64": base64.b64encode(marker).decode()})
    async for key in api.redis.scan_iter():
        if await api.redis.type(key) == "string":
            assert await api.redis.strlen(key) < 2_000


@pytest.mark.parametrize(
    ("image", "says"),
    [
        ({}, 'give either {"job"'),
        ({"job": "x", "base64": "y"}, 'give either {"job"'),
        ({"url": "http://localhost/x.png"}, "unknown field 'url'"),
        ({"base64": "%%%"}, "is not base64"),
        ({"base64": base64.b64encode(b"GIF89a not a picture").decode()}, "cannot be read"),
        ({"base64": base64.b64encode(picture("GIF")).decode()}, "cannot be read"),
        ({"base64": base64.b64encode(picture()[:40]).decode()}, "cannot be read"),
        ({"base64": base64.b64encode(picture(size=(5000, 5000))).decode()}, "at most"),
        ({"job": "nope"}, "names no job"),
        ("http://example.com/x.png", "image"),
    ],
)
async def test_an_image_that_cannot_be_used_is_refused(api: Api, image: object, says: str) -> None:
    answer = await api.http.post("/v1/jobs", json={"model": "shapes", "prompt": "x", "image": image})
    assert answer.status_code == 422
    assert says in answer.json()["detail"]
    assert (await api.queue.depths()).get("shapes") is None


async def test_a_job_that_has_not_ended_is_no_image_yet(api: Api) -> None:
    job = await api.submit()
    answer = await api.http.post("/v1/jobs", json={"model": "clips", "image": {"job": job}})
    assert answer.json()["detail"] == "image.job has no result: wait until it has succeeded"
    assert answer.json()["param"] == "image.job"


async def test_a_result_that_is_gone_is_said_to_be_gone(api: Api) -> None:
    job = await finished_picture(api)
    record = await api.queue.get(job)
    assert record.result is not None
    await api.context.store.delete(record.result.key)
    answer = await api.http.post("/v1/jobs", json={"model": "clips", "image": {"job": job}})
    assert "results live 24 hours" in answer.json()["detail"]


async def test_a_result_that_goes_while_its_units_are_taken_costs_nothing(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await finished_picture(api)
    record = await api.queue.get(job)
    assert record.result is not None
    left = (await api.http.get("/v1/quota")).json()["remaining"]
    result, reserve = record.result.key, api.context.ledger.reserve

    async def reserve_slowly(*args: Any, **kwargs: Any) -> Reserved:
        reserved = await reserve(*args, **kwargs)
        await api.context.store.delete(result)
        return reserved

    monkeypatch.setattr(api.context.ledger, "reserve", reserve_slowly)
    answer = await api.http.post("/v1/jobs", json={"model": "clips", "image": {"job": job}})
    assert (answer.status_code, answer.json()["param"]) == (422, "image.job")
    assert "results live 24 hours" in answer.json()["detail"]
    assert (await api.http.get("/v1/quota")).json()["remaining"] == left


async def test_nobody_without_units_has_a_result_read(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = "anonymous: {prefix: 1, burst: {perSecond: 1000, burst: 1000}}"
    async with published(redis_url) as (redis, _), open_door(door_settings(redis_url, tmp_path, few)) as door:
        visitor, queue = Visitor(door), RedisQueue(POOL, redis)
        job = (await visitor.ask()).json()["id"]
        worker = FakeWorker(queue, door.context.store, ("shapes",))
        await worker.finish(await worker.claim(), picture("PNG", (64, 64), "blue"))
        reads: list[str] = []
        monkeypatch.setattr(door.context.store, "get", reads.append)
        answer = await visitor.ask(image={"job": job})
        assert answer.status_code == 429
        assert reads == []


async def test_results_are_read_one_at_a_time(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    job = await finished_picture(api)
    get, reading, most = api.context.store.get, 0, 0

    async def counted(key: str) -> bytes:
        nonlocal reading, most
        reading += 1
        most = max(most, reading)
        await asyncio.sleep(0)
        data = await get(key)
        reading -= 1
        return data

    monkeypatch.setattr(api.context.store, "get", counted)
    await asyncio.gather(*(api.submit(image={"job": job}, seed=seed) for seed in range(6)))
    assert most == 1


@pytest.mark.parametrize(("step", "stays"), [("read", 0), ("keep", 1)])
async def test_an_image_that_takes_longer_than_its_units_are_kept_is_refused_and_counted_and_nothing_is_free(
    api: Api, monkeypatch: pytest.MonkeyPatch, step: str, stays: int
) -> None:
    quickly = getattr(api.context.inputs, step)

    async def slowly(image: object) -> object:
        done = await quickly(image)
        for charge in await api.redis.zrange(f"{PREFIX}:pending", 0, -1):
            assert await api.context.ledger.release(str(charge))  # as if a minute had passed
        return done

    async def stored_inputs() -> int:
        return len([found async for found in api.context.store.list("inputs")])

    monkeypatch.setattr(api.context.inputs, step, slowly)
    answer = await api.http.post("/v1/jobs", json={"model": "shapes", "image": {"base64": TINY}})
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert (await api.queue.depths()).get("shapes") is None
    assert await stored_inputs() == stays
    refused = 'modelpool_requests_total{lane="anonymous",model="shapes",outcome="refused",pool="default/studio"} 1.0'
    assert refused in (await api.http.get("/metrics")).text
    monkeypatch.undo()
    assert (await api.http.post("/v1/jobs", json={"model": "shapes", "image": {"base64": TINY}})).status_code == 202


async def test_an_image_that_breaks_behind_its_header_stays_charged_and_says_so(api: Api) -> None:
    left = (await api.http.get("/v1/quota")).json()["remaining"]

    async def send(data: bytes) -> httpx.Response:
        body = {"model": "shapes", "image": {"base64": base64.b64encode(data).decode()}}
        return await api.http.post("/v1/jobs", json=body, headers={"Idempotency-Key": "k1"})

    for sent in (1, 2):
        answer = await send(picture("PNG", (64, 64))[:-30])
        problem = answer.json()
        assert (answer.status_code, problem["error"]["code"], problem["param"]) == (422, "unreadable_image", "image")
        assert "the 1 unit of this request stay used" in problem["detail"]
        assert answer.headers["ratelimit"].startswith('"daily";r=')
        assert (await api.http.get("/v1/quota")).json()["remaining"] == left - sent
    assert (await send(picture("WEBP", exif=b"Exif\0\0neither II nor MM"))).status_code == 422
    assert (await api.http.get("/v1/quota")).json()["remaining"] == left - 2
    assert (await send(picture())).status_code == 202


async def test_no_more_images_of_one_network_wait_than_may_come_at_one_moment(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    three = "anonymous: {burst: {perSecond: 1000, burst: 3}}"
    async with published(redis_url) as _, open_door(door_settings(redis_url, tmp_path, three)) as door:
        visitor, goes_on = Visitor(door), asyncio.Event()
        read, reading = door.context.inputs.read, 0

        async def held(image: bytes | str) -> Picture:
            nonlocal reading
            reading += 1
            await goes_on.wait()
            return await read(image)

        monkeypatch.setattr(door.context.inputs, "read", held)
        waiting = [asyncio.create_task(visitor.ask(image={"base64": TINY})) for _ in range(3)]
        left = 50 - 3

        async def all_wait() -> bool:
            return reading == 1 and await visitor.remaining() == left

        await wait_until(all_wait)
        refused = await visitor.ask(image={"base64": TINY})
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "overloaded")
        assert "from your network" in refused.json()["detail"]
        assert await visitor.remaining() == left
        goes_on.set()
        assert {(await one).status_code for one in waiting} == {202}


async def test_a_broken_picture_is_paid_for_before_an_equal_request_may_have_it_read(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = "anonymous: {burst: {perSecond: 1000, burst: 1000}}"
    async with published(redis_url) as (redis, _), open_door(door_settings(redis_url, tmp_path, many)) as door:
        visitor, inputs, ledger = Visitor(door), door.context.inputs, door.context.ledger
        read, turn, spend, goes_on = inputs.read, inputs.turns.turn, ledger.spend, asyncio.Event()
        reads = turns = 0

        async def noted(image: bytes | str) -> Picture:
            nonlocal reads
            reads += 1
            await goes_on.wait()
            return await read(image)

        async def spend_slowly(charge: str) -> bool:
            for _ in range(20):  # long enough for somebody else to ask Redis and go on
                await redis.ping()
            return await spend(charge)

        def counted(whose: str, most: int) -> AbstractAsyncContextManager[None]:
            nonlocal turns
            turns += 1
            return turn(whose, most)

        monkeypatch.setattr(inputs, "read", noted)
        monkeypatch.setattr(inputs.turns, "turn", counted)
        monkeypatch.setattr(ledger, "spend", spend_slowly)
        broken = {"base64": base64.b64encode(picture("PNG", (64, 64))[:-30]).decode()}
        ask = {"prompt": "x", "image": broken, "headers": {"Idempotency-Key": "key"}}
        first = asyncio.create_task(visitor.ask(**ask))
        await wait_until(lambda: reads == 1)
        second = asyncio.create_task(visitor.ask(**ask))
        await wait_until(lambda: turns == 2)
        goes_on.set()
        assert ((await first).status_code, (await second).status_code) == (422, 503)
        assert reads == 1


async def test_who_repeats_a_request_in_another_replica_while_its_image_is_read_is_sent_away_and_then_has_its_job(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = door_settings(redis_url, tmp_path, "profile: local")
    async with published(redis_url), open_door(settings) as door, open_door(settings) as other:
        read, reading, goes_on = door.context.inputs.read, asyncio.Event(), asyncio.Event()

        async def held(image: bytes | str) -> Picture:
            reading.set()
            await goes_on.wait()
            return await read(image)

        monkeypatch.setattr(door.context.inputs, "read", held)
        same = {"prompt": "x", "image": {"base64": TINY}, "headers": {"Idempotency-Key": "key"}}
        first = asyncio.create_task(Visitor(door).ask(**same))
        await reading.wait()
        early = await Visitor(other).ask(**same)
        assert (early.status_code, early.json()["error"]["code"]) == (503, "overloaded")
        assert "equal request" in early.json()["detail"]
        assert int(early.headers["retry-after"]) > 0
        goes_on.set()
        assert (await first).status_code == 202
        again = await Visitor(other).ask(**same)
        assert (again.status_code, again.json()["id"]) == (202, (await first).json()["id"])
