"""A pool with operators and pretended workers over a real Redis, for integration tests."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from textwrap import dedent

from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from modelpool.board import Board
from modelpool.jobs import Lane
from modelpool.metrics import OperatorMetrics
from modelpool.queue.redis import RedisQueue
from modelpool.resources.catalog import slots_of
from modelpool.resources.pool import PoolRef
from modelpool_operator.demand.counters import CounterDemand
from modelpool_operator.reconcile import Parts, Reconciler
from modelpool_operator.sources.file import PoolFile
from modelpool_operator.workers import Workers
from support.fake_slots import FakeRuntime, FakeWorker
from support.queues import new_job

POOL = PoolRef("default", "studio")
POOL_FILE = dedent("""\
    apiVersion: modelpool.dev/v1alpha1
    kind: ModelPool
    metadata: {name: studio}
    spec:
      default: true
      gpu: {vram: 24Gi}
      tiers:
      - name: primary
        policy: Always
        slots: 2
        models:
        - {name: flat, source: {uri: "file:///models/flat"}, weights: 12Gi, activations: 4Gi}
      - name: secondary
        policy: Rotate
        slots: 2
        models:
        - {name: outline, source: {uri: "file:///models/outline"}, weights: 14Gi, activations: 4Gi}
        - {name: neon, source: {uri: "file:///models/neon"}, weights: 14Gi, activations: 4Gi}
        - {name: mosaic, source: {uri: "file:///models/mosaic"}, weights: 14Gi, activations: 4Gi}
        - {name: woodcut, source: {uri: "file:///models/woodcut"}, weights: 14Gi, activations: 4Gi}
      - name: video
        policy: OnDemand
        slots: 1
        idleSeconds: 600
        models:
        - name: motion
          tasks: [ImageToVideo]
          source: {uri: "file:///models/motion"}
          weights: 14Gi
          activations: 4Gi
          defaults: {frames: 8}
          limits: {maxFrames: 8}
    """)


class Stage:
    """A pool file, a Redis, a runtime, and whatever operators and workers a test starts."""

    def __init__(self, file: Path, client: Redis) -> None:
        self.file = file
        self.client = client
        self.board = Board(POOL, client)
        self.queue = RedisQueue(POOL, client)
        self.runtime = FakeRuntime()
        self.workers: dict[str, FakeWorker] = {}
        self.reconciler: Reconciler | None = None
        self._jobs = 0

    def slots(self) -> list[str]:
        pool = PoolFile(self.file).pool
        return [slot.slot for tier in pool.spec.tiers for slot in slots_of(pool, tier)]

    @asynccontextmanager
    async def operator(self) -> AsyncIterator[asyncio.Task[None]]:
        """One operator process, in effect; ends with the block."""
        self.reconciler = Reconciler(
            Parts(
                source=PoolFile(self.file),
                board=Board(POOL, self.client),
                queue=self.queue,
                demand=CounterDemand(self.queue),
                workers=Workers(self.runtime),
                metrics=OperatorMetrics(CollectorRegistry()),
                now=lambda: time.time_ns() // 1_000_000,
            )
        )
        task = asyncio.create_task(self.reconciler.run())
        try:
            yield task
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError, BaseExceptionGroup):
                await task

    @asynccontextmanager
    async def all_workers(self, **how: object) -> AsyncIterator[dict[str, FakeWorker]]:
        async with AsyncExitStack() as stack:
            for slot in self.slots():
                worker = FakeWorker(slot, self.board, self.queue, **how)  # type: ignore[arg-type]  # as given
                self.workers[slot] = await stack.enter_async_context(worker)
            yield self.workers

    async def ask(self, model: str, lane: Lane = Lane.ANONYMOUS) -> str:
        """Put one job for a model into the queue."""
        self._jobs += 1
        job = new_job(model, lane, id=f"{POOL.short_id}{self._jobs:032x}", work=0.1)
        return (await self.queue.enqueue(job)).record.id

    async def hot(self) -> dict[str, tuple[str, ...]]:
        """What each living worker holds."""
        beats = await self.board.heartbeats(self.slots())
        return {slot: beat.hot for slot, beat in beats.items()}

    async def condition(self, kind: str) -> tuple[str, str, str]:
        """Status, reason and message; empty before the first status."""
        status = await self.board.status()
        found = [c for c in status.conditions if c.type == kind] if status is not None else []
        return (found[0].status, found[0].reason, found[0].message) if found else ("", "", "")

    def is_condition(self, kind: str, status: str, reason: str) -> Callable[[], object]:
        """For `wait_until`."""

        async def holds() -> bool:
            return (await self.condition(kind))[:2] == (status, reason)

        return holds
