"""kill -9 of a worker in mid-batch, of the API, of the operator and of Redis, while 200 jobs are done.

Everybody gets a result for every job, each once. The clients do what any good client does and no more: when the answer
to a POST is lost they send it again with the same Idempotency-Key, and they ask again when an answer does not come.

The engine is the simulated one; `make chaos` adds the example pool with its real models.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from modelpool.board import Board
from modelpool.jobs import JobState
from modelpool.queue.redis import RedisQueue
from modelpool.resources.catalog import pool_ref, slots_of
from modelpool.resources.load import load_pool
from modelpool.resources.pool import PoolRef
from modelpool.resources.spec import ModelPool
from modelpool_local.state import redis_url_of
from support import wait_until
from support.up_process import UpProcess

JOBS = 200
CLIENTS = 25
STUDIO = Path(__file__).parents[3] / "examples" / "studio.yaml"
ENGINES = ("simulated", "diffusers") if os.environ.get("CHAOS") else ("simulated",)
AWAY = (502, 503, 504)
SECONDS = 240


class Clients:
    """Send jobs and wait for their ends, whatever happens to the service."""

    def __init__(self, url: str, models: Sequence[str]) -> None:
        self._models = models
        self.ended: dict[int, dict[str, Any]] = {}
        self.files: dict[int, bytes] = {}
        self._http = httpx.AsyncClient(base_url=url, timeout=30, trust_env=False)
        self._turn = asyncio.Semaphore(CLIENTS)

    async def run(self) -> None:
        """All of them."""
        async with self._http:
            await asyncio.gather(*(self._one(number) for number in range(JOBS)))

    async def _one(self, number: int) -> None:
        body = {"model": self._models[number % len(self._models)], "prompt": f"picture {number}", "seed": number}
        async with self._turn:
            sent = await self._until_answered(
                "POST", "/v1/jobs", json=body, headers={"Idempotency-Key": f"key-{number}"}
            )
            job: dict[str, Any] = sent.json()
            while not JobState(job["state"]).is_final:
                job = (await self._until_answered("GET", f"/v1/jobs/{job['id']}", params={"wait": "5"})).json()
            self.ended[number] = job
            if "result" in job:
                self.files[number] = (await self._until_answered("GET", job["result"]["url"])).content

    async def _until_answered(self, method: str, path: str, **request: Any) -> httpx.Response:
        while True:
            with contextlib.suppress(httpx.TransportError):
                answer = await self._http.request(method, path, **request)
                if answer.status_code not in AWAY:
                    assert answer.is_success, answer.text
                    return answer
            await asyncio.sleep(0.1)  # a client's pause between attempts


class Witness:
    """Listens to the pool's events and counts how often each job succeeded."""

    def __init__(self, queue: RedisQueue) -> None:
        self.successes: Counter[str] = Counter()
        self._queue = queue

    async def listen(self) -> None:
        """For ever."""
        async for event in self._queue.events():
            self.successes[event.job] += event.state is JobState.SUCCEEDED


@dataclass
class Service:
    """A running pool and what may be asked of it."""

    up: UpProcess
    pool: ModelPool
    models: tuple[str, ...]

    @property
    def ref(self) -> PoolRef:
        """Of the pool."""
        return pool_ref(self.pool)

    @property
    def slots(self) -> list[str]:
        """All of the pool."""
        return [slot.slot for tier in self.pool.spec.tiers for slot in slots_of(self.pool, tier)]


@pytest.fixture(params=ENGINES)
def service(request: pytest.FixtureRequest, trio: Path, tmp_path: Path) -> Iterator[Service]:
    models: tuple[str, ...]
    if request.param == "simulated":
        up, models = UpProcess(trio, tmp_path, timings="load=0.3,step=0.15"), ("steady", "steady", "first", "second")
    else:
        up = UpProcess(STUDIO, tmp_path, timings=None, more=["--models", str(STUDIO.parents[1] / "models")])
        models = ("shapes-flat", "shapes-flat", "shapes-outline", "shapes-neon", "shapes-mosaic")
    with up:
        yield Service(up, load_pool(up.pool_file), models)


@pytest.fixture
async def redis(service: Service) -> AsyncIterator[Redis]:
    client = Redis.from_url(redis_url_of(service.up.state), decode_responses=True)
    yield client
    await client.aclose()


async def worker_in_mid_batch(board: Board, slots: Sequence[str]) -> int:
    """The process id of a worker that computes right now."""

    async def look() -> int | None:
        with contextlib.suppress(Exception):  # Redis may just have been killed: look again
            for heartbeat in (await board.heartbeats(slots)).values():
                if heartbeat.batch is not None and heartbeat.batch.step < heartbeat.batch.steps:
                    return heartbeat.pid
        return None

    found = await wait_until(look)
    assert found is not None
    return found


@pytest.mark.slow
@pytest.mark.timeout(2 * SECONDS)
async def test_two_hundred_jobs_end_once_each_whoever_is_killed(service: Service, redis: Redis) -> None:
    up = service.up
    board, queue = Board(service.ref, redis), RedisQueue(service.ref, redis)
    clients, witness = Clients(up.url, service.models), Witness(queue)
    listening = asyncio.create_task(witness.listen())
    working = asyncio.create_task(clients.run())

    async def kill_worker() -> None:
        pid = await worker_in_mid_batch(board, service.slots)
        victim = next((process for process in up.workers() if process.pid == pid), None)
        assert victim is not None
        victim.kill()

    def kill_part(name: str) -> Callable[[], Awaitable[None]]:
        async def kill() -> None:
            part = await wait_until(lambda: up.part(name))
            assert part is not None
            part.kill()

        return kill

    def enough_done(wanted: int) -> bool:
        return len(clients.ended) >= wanted or working.done()

    kills = [kill_worker, *map(kill_part, ("api", "operator", "redis"))]
    for number, kill in enumerate([*kills, *reversed(kills)], start=1):
        # Spread over the whole run: each strikes when another 20 jobs are done.
        await wait_until(functools.partial(enough_done, number * 20), timeout=SECONDS)
        await kill()
    await asyncio.wait_for(working, SECONDS)
    listening.cancel()

    assert {job["state"] for job in clients.ended.values()} == {"succeeded"}
    assert len({job["id"] for job in clients.ended.values()}) == JOBS
    assert len({job["result"]["url"] for job in clients.ended.values()}) == JOBS
    assert all(data.startswith(b"\x89PNG") for data in clients.files.values())
    assert len(clients.files) == JOBS
    # Nobody's request became two jobs, nothing is left over, and no job was delivered twice.
    records = [key async for key in redis.scan_iter(service.ref.key("job", "*"))]
    assert len(records) == JOBS
    assert all(depth.queued == depth.running == 0 for depth in (await queue.depths()).values())
    assert set(witness.successes) <= {job["id"] for job in clients.ended.values()}
    assert max(witness.successes.values()) == 1
    for job in clients.ended.values():
        record = await queue.get(job["id"])
        assert (record.state, record.seq) == (JobState.SUCCEEDED, job["seq"])
