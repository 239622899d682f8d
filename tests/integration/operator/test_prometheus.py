"""Demand from a real Prometheus that scrapes what the API really counts."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from prometheus_client import CollectorRegistry, start_http_server

from modelpool.metrics import ApiMetrics
from modelpool.resources.pool import PoolRef
from modelpool_operator.demand.port import Demand
from modelpool_operator.demand.prometheus import FRESH_MS, DemandUnavailable, Prometheus
from modelpool_operator.planner.forecast import recent_rate
from support import unused_port, wait_until
from support.prometheus_server import PrometheusProcess

POOL, WINDOW = PoolRef("art", "studio"), 3600


class Api:
    """What an API exposes of its requests."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._metrics = ApiMetrics(self.registry)
        for model in ("flat", "neon"):
            for lane in ("paid", "anonymous"):
                for outcome in ("queued", "shed", "cached"):
                    self.count(model, lane, outcome, 0)

    def count(self, model: str, lane: str, outcome: str, number: int) -> None:
        self._metrics.requests.labels(str(POOL), model, lane, outcome).inc(number)


class Clock:
    """The time of day, and how far a test is ahead of it."""

    ahead_ms = 0

    def now(self) -> int:
        return time.time_ns() // 1_000_000 + self.ahead_ms


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def server(api: Api, tmp_path: Path) -> Iterator[PrometheusProcess]:
    port = unused_port()
    exposition, thread = start_http_server(port, "127.0.0.1", api.registry)
    try:
        with PrometheusProcess(tmp_path / "prometheus", f"127.0.0.1:{port}") as process:
            yield process
    finally:
        exposition.shutdown()
        exposition.server_close()
        thread.join()


@pytest_asyncio.fixture
async def http(server: PrometheusProcess) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url, trust_env=False) as client:
        yield client


async def figures(prometheus: Prometheus, clock: Clock) -> Demand:
    await prometheus.ask()
    return await prometheus.of(POOL).read(clock.now(), WINDOW)


async def test_what_was_queued_and_shed_is_demand_and_nothing_else(api: Api, http: httpx.AsyncClient) -> None:
    clock = Clock()
    prometheus = Prometheus(http, clock.now)

    async def is_scraped() -> bool:
        try:
            return set((await figures(prometheus, clock)).recent) == {"flat", "neon"}
        except DemandUnavailable:
            return False

    await wait_until(is_scraped)
    began = clock.now()
    api.count("flat", "anonymous", "queued", 30)
    api.count("flat", "paid", "shed", 10)
    api.count("flat", "anonymous", "cached", 500)

    async def is_seen() -> bool:
        return (await figures(prometheus, clock)).recent["flat"] >= recent_rate([19.0], WINDOW)

    await wait_until(is_seen)
    found = await figures(prometheus, clock)
    # 40 jobs, of which the last minute counts half; increase() adds something at the ends of a short series. The 500 would show.
    assert recent_rate([19.0], WINDOW) <= found.recent["flat"] <= recent_rate([60.0], WINDOW)
    assert found.recent["neon"] == 0
    assert found.source == "Prometheus"
    assert set(found.asked_at) == {"flat"}
    assert abs(found.asked_at["flat"] - began) < 60_000


async def test_when_it_goes_the_last_answer_serves_for_a_minute_and_when_it_is_back_all_is_well(
    server: PrometheusProcess, http: httpx.AsyncClient
) -> None:
    clock = Clock()
    prometheus = Prometheus(http, clock.now)
    with pytest.raises(DemandUnavailable, match="has not been asked yet"):
        await prometheus.of(POOL).read(clock.now(), WINDOW)

    async def is_known() -> bool:
        try:
            return bool((await figures(prometheus, clock)).recent)
        except DemandUnavailable:
            return False

    await wait_until(is_known)
    server.stop()
    await figures(prometheus, clock)
    clock.ahead_ms = FRESH_MS + 1
    with pytest.raises(DemandUnavailable, match=f"Prometheus at {server.url} cannot be reached"):
        await prometheus.of(POOL).read(clock.now(), WINDOW)
    clock.ahead_ms = 0
    await asyncio.to_thread(server.start)
    await wait_until(is_known)


async def test_a_pool_that_is_not_scraped_is_not_taken_for_one_without_demand(http: httpx.AsyncClient) -> None:
    clock = Clock()
    prometheus = Prometheus(http, clock.now)
    await prometheus.ask()
    with pytest.raises(
        DemandUnavailable, match="no modelpool_requests_total of pool music/band; let it scrape the API"
    ):
        await prometheus.of(PoolRef("music", "band")).read(clock.now(), WINDOW)
