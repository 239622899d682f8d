"""A worker in the test's own event loop, and what surrounds it: queue, board, store, and what an operator would say."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from modelpool.board import Board
from modelpool.documents import Catalog, CatalogModel, Heartbeat
from modelpool.jobs import JobRecord, JobRequest, Lane, NewJob
from modelpool.queue.redis import RedisQueue
from modelpool.resources.models import BatchPolicy, Defaults, Limits, Source, Task
from modelpool.resources.pool import PoolRef
from modelpool.resources.spec import Policy
from modelpool.store.port import Store
from modelpool_worker.clock import SystemClock
from modelpool_worker.config import EngineKind, WorkerConfig
from modelpool_worker.engines.protocol import Engine
from modelpool_worker.engines.simulated import SimulatedEngine
from modelpool_worker.service import Dependencies, Worker
from support.waiting import wait_until

POOL = PoolRef("default", "test")
SLOT = "test-primary-0"
MEBI = 1024 * 1024


def model(name: str, *, batch: int = 8, weights: int = 10 * MEBI, **changes: object) -> CatalogModel:
    """A small text-to-image model of the catalog."""
    fields: dict[str, object] = {
        "name": name,
        "tier": "primary",
        "policy": Policy.ALWAYS,
        "tasks": (Task.TEXT_TO_IMAGE,),
        "source": Source(uri=f"file:///models/{name}"),
        "revision": "1",
        "weights_bytes": weights,
        "activations_bytes": 5 * MEBI,
        "defaults": Defaults(width=64, height=64, steps=4),
        "limits": Limits(),
        "batch": BatchPolicy(max=batch),
        "seconds_per_megapixel_step": 0.1,
    }
    return CatalogModel.model_validate(fields | changes)


@dataclass
class Pool:
    """What surrounds a worker."""

    queue: RedisQueue
    board: Board
    store: Store
    epoch: int
    models: tuple[CatalogModel, ...] = ()
    jobs: list[str] = field(default_factory=list)
    workers: list[asyncio.Task[None]] = field(default_factory=list)

    async def offer(self, *models: CatalogModel) -> None:
        """Put models into the catalog."""
        self.models = models
        await self.board.put_catalog(Catalog(pool=str(POOL), models=models))

    async def assign(self, *hot: str, warm: tuple[str, ...] = (), slot: str = SLOT) -> None:
        """Say what the slot shall hold."""
        await self.board.assign(slot, self.epoch, hot, warm)

    async def ask(self, name: str, prompt: str = "a circle", **changes: object) -> str:
        """Enqueue one job."""
        seed = len(self.jobs)
        fields: dict[str, object] = {
            "model": name, "revision": "1", "task": Task.TEXT_TO_IMAGE, "prompt": prompt, "width": 64, "height": 64,
            "steps": 4, "guidance": 0.0, "seed": seed,
        }  # fmt: skip
        request = JobRequest.model_validate(fields | changes)
        job = f"{POOL.short_id}-{secrets.token_hex(16)}"
        await self.queue.enqueue(
            NewJob(
                id=job,
                subject=f"subject-{seed}",
                lane=Lane.ACCOUNT,
                request=request,
                work=0.01,
                price=1,
                digest=request.digest(SimulatedEngine.version),
            )
        )
        self.jobs.append(job)
        return job

    async def ended(self, job: str) -> JobRecord:
        """The record of a job once it is final."""

        async def final() -> JobRecord | None:
            self._fail_with_a_dead_worker()
            record = await self.queue.get(job)
            return record if record.state.is_final else None

        found = await wait_until(final)
        assert found is not None
        return found

    async def heartbeat(self, slot: str = SLOT) -> Heartbeat | None:
        """The slot's latest."""
        return (await self.board.heartbeats([slot])).get(slot)

    async def until(self, true_of: Callable[[Heartbeat], bool], slot: str = SLOT) -> Heartbeat:
        """The first heartbeat that says so."""

        async def found() -> Heartbeat | None:
            self._fail_with_a_dead_worker()
            beat = await self.heartbeat(slot)
            return beat if beat is not None and true_of(beat) else None

        beat = await wait_until(found)
        assert beat is not None
        return beat

    def _fail_with_a_dead_worker(self) -> None:
        for worker in self.workers:
            if worker.done():
                worker.result()


@dataclass
class Running:
    """A worker at work in this event loop."""

    worker: Worker
    stop: asyncio.Event
    task: asyncio.Task[None]


@asynccontextmanager
async def running(
    pool: Pool,
    engine: Engine,
    *,
    slot: str = SLOT,
    grace: float = 5,
    vram: int = 100 * MEBI,
    models: Path = Path("/none"),
) -> AsyncIterator[Running]:
    """A worker for ``slot`` until the block ends."""
    config = WorkerConfig(
        pool=str(POOL),
        slot=slot,
        redis_url="",
        store_url="",
        models_dir=models,
        vram_bytes=vram,
        host_memory_bytes=vram,
        engine=EngineKind.SIMULATED,
        grace_seconds=grace,
    )
    worker = Worker(config, Dependencies(pool.queue, pool.board, pool.store, engine, SystemClock()))
    stop = asyncio.Event()
    task = asyncio.create_task(worker.run(stop))
    pool.workers.append(task)
    try:
        yield Running(worker, stop, task)
    finally:
        stop.set()
        if isinstance(engine, SimulatedEngine):
            engine.gate.set()
        await asyncio.gather(task, return_exceptions=True)


class FakeClock:
    """Time that passes only when somebody sleeps."""

    def __init__(self, now_ms: int = 1_000_000) -> None:
        self.seconds = 0.0
        self.slept: list[float] = []
        self._start_ms = now_ms

    def now_ms(self) -> int:
        """See :class:`modelpool_worker.clock.Clock`."""
        return self._start_ms + round(self.seconds * 1000)

    def monotonic(self) -> float:
        """See :class:`modelpool_worker.clock.Clock`."""
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        """See :class:`modelpool_worker.clock.Clock`."""
        self.slept.append(seconds)
        self.seconds += seconds
        await asyncio.sleep(0)
