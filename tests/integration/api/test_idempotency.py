"""Idempotency-Key: a repeated request is the same job."""

from __future__ import annotations

import asyncio
import base64

import httpx
import pytest

from modelpool_api.inputs import Picture
from support.pictures import picture
from support.running_api import PAID_KEY, Api

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
