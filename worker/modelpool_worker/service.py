"""Builds one worker from its configuration and runs it until it is told to end, or its device fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry

from modelpool.board import Board
from modelpool.errors import DeviceFailed, QueueUnavailable
from modelpool.metrics import WorkerMetrics
from modelpool.queue.port import Queue
from modelpool.store.port import Store
from modelpool_worker.activity import Activity
from modelpool_worker.clock import Clock
from modelpool_worker.computing import Computer
from modelpool_worker.config import WorkerConfig
from modelpool_worker.delivery import Delivery
from modelpool_worker.engines.protocol import Engine
from modelpool_worker.following import Follower
from modelpool_worker.heartbeat import Pulse
from modelpool_worker.loop import Loop
from modelpool_worker.residency.budgets import Budget
from modelpool_worker.residency.keeper import Keeper
from modelpool_worker.residency.moves import Place
from modelpool_worker.server import ProbeServer
from modelpool_worker.slot import Slot
from modelpool_worker.sources import Sources
from modelpool_worker.staging import Parts
from modelpool_worker.threads import SerialThread

log = logging.getLogger(__name__)

THREAD_END_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What a worker reaches outside itself, and its clock."""

    queue: Queue
    board: Board
    store: Store
    engine: Engine
    clock: Clock
    thread_start: Callable[[], None] | None = None
    """Runs first in every thread that uses the engine."""


class Worker:
    """One slot's worker. Build it within a running event loop."""

    def __init__(self, config: WorkerConfig, dependencies: Dependencies) -> None:
        engine, clock = dependencies.engine, dependencies.clock
        self._config = config
        self._board = dependencies.board
        self._registry = CollectorRegistry()
        self.metrics = WorkerMetrics(self._registry)
        self.slot = Slot(config.slot, engine, clock)
        self.activity = Activity(clock.monotonic, self._spent)
        self._threads = {name: SerialThread(name, dependencies.thread_start) for name in ("engine", "loader", "files")}
        self.keeper = Keeper(
            engine,
            self._threads["loader"],
            Sources(config.models_dir, config.cache_dir),
            Budget(config.vram_bytes, config.host_memory_bytes),
            clock,
            changed=self._changed,
            loaded=self._loaded,
        )
        self.slot.keeper = self.keeper
        self.pulse = Pulse(self._board, self._snapshot, clock)
        self._follower = Follower(self._board, config.slot, self.keeper, clock)
        computer = Computer(engine, self._threads["engine"], clock, self.slot.moved)
        delivery = Delivery(
            dependencies.store,
            self._threads["files"],
            clock,
            worker=self.slot.worker,
            slot=config.slot,
            engine=engine.version,
        )
        self.loop = Loop(
            Parts(
                config.pool,
                dependencies.queue,
                self.keeper,
                computer,
                delivery,
                self.slot,
                self.pulse,
                self.metrics,
                self.activity,
                clock,
            )
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Work until ``stop`` is set, then drain.

        :raises DeviceFailed: the device cannot be used any more; the leases have been given back.
        """
        server = ProbeServer(
            self._config.http_host, self._config.http_port, self._registry, self.slot.unhealthy, self.slot.unready
        )
        self.slot.http = server.url
        log.info("worker started", extra={"worker": self.slot.worker, "http": server.url})
        loops: list[Coroutine[Any, Any, None]] = [
            self._follower.listen(),
            self._follower.run(),
            self.keeper.run(),
            self.pulse.run(),
            self.loop.listen(),
            self.loop.claim(),
            self.loop.compute(),
        ]
        tasks = [asyncio.create_task(each) for each in loops]
        stopping = asyncio.create_task(stop.wait())
        try:
            done, _ = await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in done - {stopping}:
                task.result()
            await self.loop.drain(self._config.grace_seconds)
        except DeviceFailed as error:
            if self.slot.error is None:
                self.slot.failed(error, None)
            await self.pulse.beat()
            raise
        finally:
            await self._end([stopping, *tasks])
            server.close()

    async def _end(self, tasks: list[asyncio.Task[Any]]) -> None:
        await self.loop.stop_claiming()
        await self.loop.give_back()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.activity.settle()
        for name, thread in self._threads.items():
            if not await asyncio.to_thread(thread.end, THREAD_END_SECONDS):
                log.warning("a thread did not end", extra={"which": name})

    async def farewell(self) -> None:
        """Say goodbye: the slot is empty at once, not after the heartbeat's life."""
        with suppress(QueueUnavailable):
            await self._board.farewell(self._config.slot)

    def _snapshot(self) -> Any:
        self.activity.settle()
        return self.slot.snapshot()

    def _changed(self) -> None:
        keeper, labels = self.keeper, (self._config.pool, self._config.slot)
        self.activity.set("load", on=keeper.loading is not None)
        self.activity.set("failed", on=bool(keeper.failed) and not keeper.serving)
        for place in (Place.HOT, Place.WARM):
            self.metrics.slot_weights.labels(*labels, place.value).set(keeper.weights(place))
        self.pulse.changed()
        self.loop.wake()

    def _spent(self, activity: str, seconds: float) -> None:
        self.metrics.gpu_seconds.labels(self._config.pool, self._config.slot, activity).inc(seconds)
        self.slot.ledger.spend(activity, seconds)

    def _loaded(self, model: str, origin: Place, seconds: float) -> None:
        self.metrics.load_seconds.labels(self._config.pool, model, origin.value).observe(seconds)
