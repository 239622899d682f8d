"""Redis comes and goes; the API stays, says so, and works again by itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import httpx
import pytest

from modelpool.queue.patience import ANSWER_SECONDS
from modelpool_api.settings import Settings
from support import RedisProcess, bundled_redis, debian_redis, wait_until
from support.running_api import Api, published, ready, running_api


@pytest.fixture(params=["redis6", "redis7"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> RedisProcess:
    """A server of the test's own that keeps its data; not started."""
    program = bundled_redis() if request.param == "redis6" else debian_redis()
    return RedisProcess(program, tmp_path / "redis", ["--appendonly", "yes", "--appendfsync", "always"])


@pytest.fixture
def settings(server: RedisProcess, tmp_path: Path) -> Settings:
    return Settings(
        redis_url=server.url,
        store_url=f"file://{tmp_path}/store",
        refresh_seconds=0.05,
        reap_seconds=0.1,
        reread_seconds=0.5,
    )


@pytest.fixture
async def started(server: RedisProcess, settings: Settings) -> AsyncIterator[Api]:
    """The API over the server."""
    with server:
        async with published(server.url) as (redis, board), running_api(settings) as (context, http):
            yield await ready(context, http, redis, board)


async def status_of(http: httpx.AsyncClient, path: str) -> int:
    return (await http.get(path)).status_code


async def test_the_api_starts_before_redis_and_says_what_is_missing(server: RedisProcess, settings: Settings) -> None:
    async with running_api(settings) as (_, http):
        assert await status_of(http, "/healthz") == 200
        answer = await http.get("/readyz")
        checks = answer.json()["checks"]
        assert (answer.status_code, answer.json()["ready"]) == (503, False)
        assert (checks["redis"]["ok"], checks["store"]["ok"], checks["catalog"]["ok"]) == (False, True, False)
        refused = await http.post("/v1/jobs", json={"model": "shapes", "prompt": "x"})
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.json()["error"]["code"] == "queue_unavailable"
        assert await status_of(http, "/v1/models") == 503
        assert await status_of(http, "/v1/jobs/qt76ogse-x") == 503

        with server:
            async with published(server.url):
                await wait_until(lambda: _is_ready(http))
                assert (await http.post("/v1/jobs", json={"model": "shapes", "prompt": "x"})).status_code == 202


async def _is_ready(http: httpx.AsyncClient) -> bool:
    return await status_of(http, "/readyz") == 200


async def test_jobs_survive_a_killed_redis_and_so_does_the_api(
    started: Api, server: RedisProcess, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="modelpool_api"):
        job = await started.submit()
        server.kill()
        refused = await started.http.post("/v1/jobs", json={"model": "shapes", "prompt": "x"})
        assert refused.status_code == 503
        await wait_until(lambda: "reading pools: " in caplog.text)
        assert (await started.http.get("/readyz")).json()["checks"]["redis"]["ok"] is False

        server.start()
        await wait_until(lambda: _is_ready(started.http))
        await wait_until(lambda: "reading pools: works again" in caplog.text)
    complaints = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len([record for record in complaints if record.getMessage().startswith("reading pools")]) == 1

    assert (await started.job(job))["state"] == "queued"
    async with started.worker.work():
        answer = await started.http.get(f"/v1/jobs/{job}", params={"wait": 20})
    assert answer.json()["state"] == "succeeded"


async def test_a_redis_that_hangs_is_a_503_in_time(started: Api, server: RedisProcess) -> None:
    ask = partial(started.http.post, "/v1/jobs", json={"model": "shapes", "prompt": "x"})
    with server.hanging():
        async with asyncio.timeout(ANSWER_SECONDS + 2):
            refusals = await asyncio.gather(*(ask() for _ in range(6)))
    for refused in refusals:
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "queue_unavailable")
        assert int(refused.headers["retry-after"]) >= 1
    await wait_until(lambda: _is_ready(started.http))
    assert (await ask()).status_code == 202


async def test_one_who_waits_through_an_outage_hears_the_end(started: Api, server: RedisProcess) -> None:
    job = await started.submit()
    waiting = started.context.pools.all()[0].waiting
    server.kill()
    waiting.listening.clear()
    server.start()
    await wait_until(lambda: _is_ready(started.http))
    await waiting.listening.wait()
    async with started.worker.work():
        answer = await started.http.get(f"/v1/jobs/{job}", params={"wait": 20})
    assert answer.json()["state"] == "succeeded"


async def test_a_pool_that_is_gone_is_not_served_any_more(started: Api) -> None:
    job = await started.submit()
    await started.redis.delete("mpl:pools")
    await wait_until(lambda: not started.context.pools.all())
    assert await status_of(started.http, f"/v1/jobs/{job}") == 404
    assert (await started.http.get("/readyz")).json()["checks"]["catalog"]["ok"] is False


async def test_a_full_redis_is_a_clear_503_that_leaves_nothing_half_done(started: Api) -> None:
    job = await started.submit()
    before = set(await started.redis.keys("*"))
    await started.redis.config_set("maxmemory", "1")
    refused = await started.http.post("/v1/jobs", json={"model": "shapes", "prompt": "x"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "queue_unavailable")
    assert "Redis refuses to write" in refused.json()["detail"]
    assert int(refused.headers["retry-after"]) >= 1
    assert set(await started.redis.keys("*")) <= before
    assert await status_of(started.http, f"/v1/jobs/{job}") == 200
    assert (await started.http.delete(f"/v1/jobs/{job}")).json()["state"] == "cancelled"
    await started.redis.config_set("maxmemory", "0")
    assert (await started.http.post("/v1/jobs", json={"model": "shapes", "prompt": "x"})).status_code == 202
