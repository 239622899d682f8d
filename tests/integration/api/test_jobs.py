"""Jobs through HTTP: asking, waiting, cancelling."""

from __future__ import annotations

import asyncio

import pytest

from modelpool.jobs import JobState, Lane
from support import wait_until
from support.running_api import PAID_KEY, POOL, SLOT, Api, heartbeat


async def test_a_job_is_accepted_at_once_with_its_address(api: Api) -> None:
    answer = await api.http.post("/v1/jobs", json={"model": "shapes", "prompt": "a red circle"})
    job = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}" == job["links"]["self"]
    assert answer.headers["cache-control"] == "no-store"
    assert job["id"].startswith(POOL.short_id + "-")
    assert len(job["id"]) >= len(POOL.short_id) + 1 + 22
    assert (job["state"], job["position"], job["lane"], job["model"]) == ("queued", 0, "anonymous", "shapes")
    assert job["eta"]["seconds"] > 0
    record = await api.queue.get(job["id"])
    assert record.request.prompt == "a red circle"
    assert record.subject.startswith("guest:")
    assert "192.0.2.7" not in record.subject


async def test_the_price_comes_from_the_spec_and_the_work_from_measurement(api: Api) -> None:
    record = await api.queue.get(await api.submit(width=128, height=128))
    assert record.price == 4
    assert record.work == pytest.approx(0.02 + 128 * 128 / 1e6 * 4 * 0.2)


async def test_a_key_decides_the_lane(api: Api) -> None:
    headers = {"Authorization": f"Bearer {PAID_KEY}"}
    answer = await api.http.post("/v1/jobs", json={"model": "shapes", "prompt": "x"}, headers=headers)
    assert answer.json()["lane"] == "paid"
    assert (await api.queue.get(answer.json()["id"])).lane is Lane.PAID


@pytest.mark.parametrize("header", ["Bearer wrong", "Bearer ", "Basic abc", f"{PAID_KEY}"])
async def test_an_unknown_key_is_refused(api: Api, header: str) -> None:
    answer = await api.http.post("/v1/jobs", json={"model": "shapes", "prompt": "x"}, headers={"Authorization": header})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["error"]["type"] == "authentication_error"


async def test_a_client_that_prefers_to_wait_gets_the_finished_job(api: Api) -> None:
    async with api.worker.work():
        answer = await api.http.post(
            "/v1/jobs", json={"model": "shapes", "prompt": "x", "seed": 5}, headers={"Prefer": "respond-async, wait=20"}
        )
    job = answer.json()
    assert answer.status_code == 200
    assert answer.headers["preference-applied"] == "wait=20"
    assert job["state"] == "succeeded"
    assert job["progress"] == 1.0
    assert (job["result"]["seed"], job["result"]["width"], job["result"]["contentType"]) == (5, 64, "image/png")
    assert job["durations"]["ran"] == 100
    assert job["batchSize"] == 1
    assert "cancel" not in job["links"]
    assert "position" not in job
    assert (await api.http.get(job["result"]["url"])).status_code == 200


async def test_waiting_ends_when_the_time_is_over(api: Api) -> None:
    answer = await api.http.post("/v1/jobs", json={"model": "shapes", "prompt": "x"}, headers={"Prefer": "wait=0"})
    assert answer.status_code == 202
    job = answer.json()["id"]
    shown = (await api.http.get(f"/v1/jobs/{job}", params={"wait": 0.05})).json()
    assert shown["state"] == "queued"
    assert api.context.pools.all()[0].waiting.watched == 0


async def test_a_long_poll_answers_when_the_job_ends(api: Api) -> None:
    job = await api.submit()
    poll = asyncio.create_task(api.http.get(f"/v1/jobs/{job}", params={"wait": 30}))
    await wait_until(lambda: api.context.pools.all()[0].waiting.watched)
    await api.worker.finish(await api.worker.claim())
    assert (await poll).json()["state"] == "succeeded"


async def test_a_job_shows_how_it_gets_on(api: Api) -> None:
    first = await api.submit()
    batch = await api.worker.claim()
    second, third = await api.submit(width=128), await api.submit(height=128)
    assert [(await api.job(id)).get("position") for id in (first, second, third)] == [None, 0, 1]

    await api.worker.report(batch, 0.5, preview="data:image/png;base64,AAAA")
    shown = await wait_until(lambda: _with_progress(api, first)) or {}
    assert (shown["state"], shown["progress"]) == ("running", 0.5)
    assert "startedAt" in shown
    assert "preview" not in shown


async def _with_progress(api: Api, id: str) -> dict[str, object] | None:
    shown = await api.job(id)
    return shown if "progress" in shown else None


async def test_a_cancelled_job_stays_cancelled(api: Api) -> None:
    job = await api.submit()
    answer = await api.http.delete(f"/v1/jobs/{job}")
    assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
    assert (await api.http.delete(f"/v1/jobs/{job}")).status_code == 200
    assert await api.queue.claim("w", "s", api.worker.hot) is None


async def test_a_finished_job_cannot_be_cancelled(api: Api) -> None:
    job = await api.submit()
    await api.worker.finish(await api.worker.claim())
    answer = await api.http.delete(f"/v1/jobs/{job}")
    assert answer.status_code == 409
    assert answer.json()["error"]["code"] == "job_is_final"


async def test_a_failed_job_says_why(api: Api) -> None:
    job = await api.submit()
    await api.worker.fail(await api.worker.claim(), "the model refused")
    shown = await api.job(job)
    assert shown["state"] == JobState.FAILED
    assert shown["error"] == {"code": "engine_error", "message": "the model refused"}


async def test_another_engine_version_means_another_result(api: Api) -> None:
    async def outcome() -> object:
        return (await api.job(await api.submit(seed=7)))["cached"]

    async def serve(engine: str, started_at: int) -> None:
        await api.board.beat(heartbeat(engine=engine, started_at=started_at))
        await api.context.pools.refresh()

    await serve("torch-1", 1)
    await api.submit(seed=7)
    await api.worker.finish(await api.worker.claim())
    await api.board.farewell(SLOT)
    await api.context.pools.refresh()
    assert await outcome() is True  # nobody lives: as it was last
    await serve("torch-2", 2)
    assert await outcome() is False


async def test_the_same_job_again_comes_from_the_cache(api: Api) -> None:
    first = await api.submit(seed=7)
    await api.worker.finish(await api.worker.claim())
    answer = await api.http.post("/v1/jobs", json={"model": "shapes", "prompt": "a red circle", "seed": 7})
    again = answer.json()
    assert answer.status_code == 200
    assert again["id"] != first
    assert (again["state"], again["cached"], again["durations"]["ran"]) == ("succeeded", True, 0)
    assert again["result"]["url"] == (await api.job(first))["result"]["url"]  # type: ignore[index]
    anew = await api.http.post(
        "/v1/jobs", json={"model": "shapes", "prompt": "a red circle", "seed": 7, "cache": False}
    )
    assert anew.status_code == 202


async def test_an_identical_job_follows_the_one_in_flight(api: Api) -> None:
    leader, follower = await api.submit(seed=7), await api.submit(seed=7)
    assert (await api.job(follower))["state"] == "following"
    assert (await api.job(follower))["position"] == 0
    await api.worker.finish(await api.worker.claim())
    assert (await api.job(leader))["state"] == (await api.job(follower))["state"] == "succeeded"


async def test_without_a_seed_every_job_is_new(api: Api) -> None:
    records = [await api.queue.get(await api.submit(**fields)) for fields in ({}, {}, {"seed": "random"})]
    assert len({record.request.seed for record in records}) == 3
    assert all(record.state is JobState.QUEUED for record in records)


async def test_a_model_can_be_named_with_its_pool(api: Api) -> None:
    for name in ("studio/shapes", "default/studio/shapes"):
        answer = await api.http.post("/v1/jobs", json={"model": name, "prompt": "x"})
        assert answer.json()["model"] == "shapes"
    answer = await api.http.post("/v1/jobs", json={"model": "other/shapes", "prompt": "x"})
    assert answer.status_code == 404
    assert answer.json()["param"] == "model"


@pytest.mark.parametrize("id", ["nope", "aaaaaaaa-0000000000000000000000", "..%2F..", "%00", "x" * 150, "qt76ogse-"])
async def test_an_unknown_job_is_not_found(api: Api, id: str) -> None:
    for answer in (await api.http.get(f"/v1/jobs/{id}"), await api.http.delete(f"/v1/jobs/{id}")):
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"
    assert (await api.http.get(f"/v1/jobs/{id}/events")).status_code == 404
