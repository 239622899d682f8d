"""Starting a worker: ``python -m modelpool_worker``, or :func:`run_forked` in a child of a fork server."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from modelpool.board import Board
from modelpool.errors import DeviceFailed, ModelpoolError
from modelpool.queue.connection import connect
from modelpool.queue.redis import RedisQueue
from modelpool.resources.pool import PoolRef
from modelpool.store.open import open_store
from modelpool_worker import logs
from modelpool_worker.clock import SystemClock
from modelpool_worker.config import EngineKind, WorkerConfig
from modelpool_worker.engines.protocol import Engine
from modelpool_worker.options import config_of
from modelpool_worker.patience import patiently
from modelpool_worker.service import Dependencies, Worker

log = logging.getLogger(__name__)

EXIT_OK = 0
EXIT_CANNOT_START = 2
EXIT_DEVICE_FAILED = 3
EXIT_FAILED = 4

START_SECONDS = 30.0
"""How long a worker waits for Redis before it has ever seen it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one worker in this process; returns its exit code."""
    return run(config_of(sys.argv[1:] if arguments is None else arguments, os.environ))


def leave(code: int) -> NoReturn:
    """End this process at once. An interpreter that takes itself apart, with torch in it, is busy for seconds.

    Everything that has to be said has been said by now: leases are given back, and the slot is empty.
    """
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


def run_forked(config: WorkerConfig) -> None:
    """Run one worker in a child of a fork server that has preloaded :mod:`modelpool_worker.preload`; exits."""
    sys.exit(run(config))


def run(config: WorkerConfig) -> int:
    """Run one worker until SIGTERM or SIGINT; returns its exit code."""
    logs.set_up(config.pool, config.slot, config.log_level, config.log_file)
    try:
        return asyncio.run(_run(config))
    except DeviceFailed as error:
        log.error("device failed", extra={"reason": error.message})
        return EXIT_DEVICE_FAILED
    except ModelpoolError as error:
        log.error("cannot go on", extra={"code": error.code, "reason": error.message})
        return EXIT_CANNOT_START
    except Exception:
        log.exception("worker failed")
        return EXIT_FAILED


async def _run(config: WorkerConfig) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    engine, thread_start = build_engine(config)
    clock = SystemClock()
    client = await patiently(lambda: connect(config.redis_url), clock, START_SECONDS)
    try:
        pool = PoolRef.parse(config.pool)
        worker = Worker(
            config,
            Dependencies(
                queue=RedisQueue(pool, client),
                board=Board(pool, client),
                store=open_store(config.store_url),
                engine=engine,
                clock=clock,
                thread_start=thread_start,
            ),
        )
        await worker.run(stop)
        await worker.farewell()
    finally:
        await client.aclose()
    return EXIT_OK


def build_engine(config: WorkerConfig) -> tuple[Engine, Callable[[], None] | None]:
    """The engine, and what each of its threads does first. Torch is imported only for the real one."""
    if config.engine is EngineKind.SIMULATED:
        from modelpool_worker.engines.simulated import SimulatedEngine

        return SimulatedEngine(config.timings, cpu_id=config.cpu_id), None
    import torch

    from modelpool_worker.engines.diffusers import DiffusersEngine

    engine = DiffusersEngine(config.device.value, config.cpu_id)
    if config.threads is None:
        return engine, None
    torch.set_num_threads(config.threads)
    return engine, functools.partial(torch.set_num_threads, config.threads)
