"""From a desired slot to a running worker."""

from __future__ import annotations

import os
from pathlib import Path

from modelpool.resources.catalog import pool_ref
from modelpool.resources.spec import Device, ModelPool
from modelpool.slots import DesiredSlot
from modelpool_local.forkserver import Forked, ForkServer
from modelpool_local.gpus import GpuShare, list_gpus
from modelpool_local.options import UpOptions
from modelpool_local.state import StateFolder
from modelpool_worker.config import EngineKind, WorkerConfig
from modelpool_worker.timings import Timings

PRELOAD = "modelpool_worker.preload"


class WorkerStarter:
    """Forks workers for slots, shares cores among them and gives each its GPU."""

    def __init__(self, options: UpOptions, pool: ModelPool, redis_url: str, store_url: str, state: StateFolder) -> None:
        self._options = options
        self._pool = str(pool_ref(pool))
        self._redis_url = redis_url
        self._store_url = store_url
        self._state = state
        self._threads = threads_per_slot(len(os.sched_getaffinity(0)), sum(tier.slots for tier in pool.spec.tiers))
        self._gpus = GpuShare(list_gpus() if pool.spec.worker.device is Device.CUDA else [])
        simulated = options.simulated is not None
        self._engine = EngineKind.SIMULATED if simulated else EngineKind.DIFFUSERS
        self._timings = Timings.parse(options.simulated or "")
        self._fork_server = ForkServer(None if simulated else PRELOAD, state.log("fork-server"))

    def prepare(self) -> None:
        """Begin to import what workers share."""
        # Read by OpenMP when torch is imported, and inherited by the fork server.
        os.environ["OMP_NUM_THREADS"] = str(self._threads)
        self._fork_server.start()

    async def start(self, slot: DesiredSlot) -> Forked:
        """Fork the slot's worker."""
        environment: dict[str, str] = {}
        if slot.device == Device.CUDA and self._engine is EngineKind.DIFFUSERS:
            environment["CUDA_VISIBLE_DEVICES"] = self._gpus.take(slot.slot)
        return await self._fork_server.fork(self._state.log(slot.slot), environment, run_worker, self._config(slot))

    def forget(self, slot: str) -> None:
        """The slot is gone for good."""
        self._gpus.give_back(slot)

    def _config(self, slot: DesiredSlot) -> WorkerConfig:
        return WorkerConfig(
            pool=self._pool,
            slot=slot.slot,
            redis_url=self._redis_url,
            store_url=self._store_url,
            models_dir=Path(self._options.models).absolute(),
            cache_dir=self._state.cache,
            vram_bytes=slot.vram_bytes,
            host_memory_bytes=slot.host_memory_bytes,
            device=Device(slot.device),
            engine=self._engine,
            threads=self._threads,
            grace_seconds=self._options.grace,
            timings=self._timings,
        )


def run_worker(config: WorkerConfig) -> None:
    """In the forked child. The import is here because the supervisor itself must not load the engines."""
    from modelpool_worker.main import run_forked

    run_forked(config)


def threads_per_slot(cores: int, slots: int) -> int:
    """Threads of one worker: the cores shared evenly, at least one. Pure."""
    return max(1, cores // slots)
