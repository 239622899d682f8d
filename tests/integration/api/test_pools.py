"""Models, metrics and the work beside answering."""

from __future__ import annotations

import asyncio
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

from modelpool.board import Board
from modelpool.documents import Loading, MeasuredModel, Stat
from modelpool.queue.port import HotModel
from modelpool.resources.pool import PoolRef
from modelpool.store.sweep import RESULT_LIFE_MS, sweep_alone
from support import wait_until
from support.running_api import CATALOG, PAID_KEY, POOL, SHAPES, Api, heartbeat


async def model(api: Api, name: str) -> dict[str, object]:
    shown: dict[str, object] = (await api.http.get(f"/v1/models/{name}")).json()
    return shown


async def test_models_are_listed_in_openais_shape_with_more(api: Api) -> None:
    answer = await api.http.get("/v1/models")
    shown = answer.json()
    assert answer.headers["cache-control"] == "no-store"
    assert shown["object"] == "list"
    shapes, clips = shown["data"]
    assert (shapes["id"], shapes["object"], shapes["owned_by"]) == ("shapes", "model", "default/studio")
    assert shapes["created"] == 1_767_225_600
    assert (shapes["state"], shapes["tier"], shapes["queued"], shapes["replicas"]) == ("hot", "primary", 0, 1)
    assert (shapes["tasks"], shapes["styles"]) == (["TextToImage", "ImageToImage"], [{"name": "bold"}])
    assert shapes["limits"]["maxPixels"] == 65536
    assert shapes["eta"]["seconds"] > 0
    assert (clips["quotaUnits"], clips["eta"]) == (5, {"text": "estimating"})


async def test_one_model_by_its_name_with_or_without_its_pool(api: Api) -> None:
    for name in ("shapes", "studio/shapes", "default/studio/shapes"):
        assert (await model(api, name))["id"] == "shapes"
    assert (await api.http.get("/v1/models/nope")).status_code == 404


async def test_a_load_is_shown_with_the_time_that_remains(api: Api) -> None:
    now = time.time_ns() // 1_000_000
    measured = {
        "shapes": MeasuredModel(
            cold_to_hot_seconds=Stat(mean=20, count=2), seconds_per_megapixel_step=Stat(mean=0.2, count=3)
        )
    }
    await api.board.beat(heartbeat(hot=(), loading=Loading(model="shapes", since=now - 2000), measured=measured))
    await api.context.pools.refresh()
    shown = await model(api, "shapes")
    assert shown["state"] == "loading"
    assert shown["eta"]["text"] == "model loading, 18 s"  # type: ignore[index]
    job = await api.job(await api.submit())
    assert job["eta"]["text"] == "model loading, 18 s"  # type: ignore[index]


async def test_a_pool_that_is_published_later_is_found_at_once(api: Api) -> None:
    other = PoolRef("default", "other")
    later = SHAPES.model_copy(update={"name": "later"})
    board = Board(other, api.redis)
    await board.put_catalog(
        CATALOG.model_copy(update={"pool": str(other), "default": False, "models": (SHAPES, later)})
    )
    answer = await api.http.post("/v1/jobs", json={"model": "later", "prompt": "x"})
    assert answer.json()["id"].startswith(other.short_id)
    assert (await api.submit()).startswith(POOL.short_id)  # of the default pool, although both have it
    both = (await api.http.get("/v1/models")).json()["data"]
    assert [shown["pool"] for shown in both if shown["id"] == "shapes"] == [str(POOL), str(other)]


async def samples(api: Api) -> dict[tuple[str, ...], float]:
    """Values of the API's metrics by name and label values."""
    text = (await api.http.get("/metrics")).text
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_every_model_counts_from_zero_and_each_outcome_once(api: Api) -> None:
    def requests(found: dict[tuple[str, ...], float], lane: str, outcome: str, name: str = "shapes") -> float:
        return found["modelpool_requests_total", lane, name, outcome, str(POOL)]

    before = await samples(api)
    for lane in ("paid", "account", "anonymous"):
        for outcome in ("queued", "cached", "joined", "shed", "refused"):
            assert requests(before, lane, outcome) == requests(before, lane, outcome, "clips") == 0

    await api.submit(seed=1)
    await api.submit(seed=1)
    await api.worker.finish(await api.worker.claim())
    await api.submit(seed=1)
    await api.http.post("/v1/jobs", json={"model": "shapes", "prompt": "x", "steps": 99})
    headers = {"Authorization": f"Bearer {PAID_KEY}", "Idempotency-Key": "k"}
    for _ in range(2):
        await api.http.post("/v1/jobs", json={"model": "shapes", "prompt": "x"}, headers=headers)

    await wait_until(lambda: _observed(api, 3))
    after = await samples(api)
    counted = {outcome: requests(after, "anonymous", outcome) for outcome in ("queued", "joined", "cached", "refused")}
    assert counted == {"queued": 1, "joined": 1, "cached": 1, "refused": 1}
    assert requests(after, "paid", "queued") == 1
    assert after["modelpool_time_to_result_seconds_count", "false", "anonymous", "shapes", str(POOL)] == 3
    await wait_until(lambda: _depth(api, "paid", 1))


async def _observed(api: Api, count: int) -> bool:
    key = ("modelpool_time_to_result_seconds_count", "false", "anonymous", "shapes", str(POOL))
    return (await samples(api)).get(key) == count


async def _depth(api: Api, lane: str, count: int) -> bool:
    return (await samples(api))["modelpool_queue_depth", lane, "shapes", str(POOL)] == count


async def test_the_pace_of_finished_jobs_is_learned(api: Api) -> None:
    pool = api.context.pools.all()[0]
    await api.submit()
    await api.worker.finish(await api.worker.claim())
    await wait_until(lambda: "shapes" in pool.paces)
    work = (await api.queue.get(await api.submit())).work
    assert pool.paces["shapes"].alone == pytest.approx(0.1 / work, rel=0.01)


async def test_a_lapsed_lease_is_reaped_by_the_api(api: Api) -> None:
    job = await api.submit()
    batch = await api.queue.claim("dead", "slot", [HotModel("shapes", 1)], lease_ms=1)
    assert batch is not None
    await wait_until(lambda: _state(api, job, "queued"))


async def _state(api: Api, job: str, state: str) -> bool:
    return (await api.job(job))["state"] == state


async def test_old_results_are_swept(api: Api) -> None:
    await api.context.store.put("results/a.png", b"1")
    later = time.time_ns() // 1_000_000 + RESULT_LIFE_MS + 1000
    # The API sweeps too when it starts, and one does it at a time.
    assert await wait_until(lambda: sweep_alone(api.redis, api.context.store, later)) == 1
    assert (await api.http.get("/v1/results/a.png")).status_code == 404


async def test_many_wait_with_one_subscription(api: Api) -> None:
    jobs = [await api.submit(width=width) for width in range(16, 8 * 22, 8)]
    polls = [
        asyncio.create_task(api.http.get(f"/v1/jobs/{job}", params={"wait": 30})) for job in jobs for _ in range(3)
    ]
    await wait_until(lambda: api.context.pools.all()[0].waiting.watched == len(jobs))
    channels = await api.redis.pubsub_numsub(POOL.key("events"))
    assert [count for _, count in channels] == [1]
    async with api.worker.work():
        assert {(await poll).json()["state"] for poll in polls} == {"succeeded"}
