"""Starting a worker: ``python -m modelpool_worker``, or :func:`run_forked` in a child of a fork server."""

from __future__ import annotations

import argparse
import asyncio
import functools
import logging
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from modelpool.board import Board
from modelpool.errors import DeviceFailed, ModelpoolError
from modelpool.queue.connection import connect
from modelpool.queue.redis import RedisQueue
from modelpool.resources.pool import PoolRef
from modelpool.resources.quantity import parse_bytes
from modelpool.resources.spec import Device
from modelpool.store.open import open_store
from modelpool_worker import logs
from modelpool_worker.clock import SystemClock
from modelpool_worker.config import DEFAULT_CACHE, EngineKind, WorkerConfig
from modelpool_worker.engines.protocol import Engine
from modelpool_worker.patience import patiently
from modelpool_worker.service import Dependencies, Worker
from modelpool_worker.timings import Timings

log = logging.getLogger(__name__)

EXIT_OK = 0
EXIT_CANNOT_START = 2
EXIT_DEVICE_FAILED = 3
EXIT_FAILED = 4

START_SECONDS = 30.0
"""How long a worker waits for Redis before it has ever seen it."""

_EXAMPLES = """examples:
  one slot on this machine's CPU, with models from ./models and results in a folder
    python -m modelpool_worker --pool default/studio --slot studio-primary-0 \\
        --redis-url redis://127.0.0.1:6379/0 --store-url file:///tmp/results --models-dir ./models \\
        --vram 1Gi --host-memory 2Gi --threads 1

  the same on the one GPU that is visible
    CUDA_VISIBLE_DEVICES=0 python -m modelpool_worker --device cuda --vram 24Gi --host-memory 64Gi …

  no models at all: an engine that only waits, for tests and benchmarks
    python -m modelpool_worker --engine simulated --simulate load=2,step=0.05 …

exit codes: 0 drained, 2 could not start, 3 the device failed, 4 anything else
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m modelpool_worker",
        description="Runs one slot of a model pool: holds the models it is assigned, and generates what is queued for them.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    need = made.add_argument_group("required")
    need.add_argument("--pool", required=True, help="namespace/name of the pool")
    need.add_argument("--slot", required=True, help="the slot's name, such as studio-primary-0")
    need.add_argument("--redis-url", required=True, help="redis://host:port/db of the pool's queue")
    need.add_argument("--store-url", required=True, help="file:///folder or s3://bucket/prefix for results and inputs")
    need.add_argument("--models-dir", required=True, type=Path, help="folder that /models of the pool file means here")
    need.add_argument("--vram", required=True, help="memory for hot models, as 24Gi")
    need.add_argument("--host-memory", required=True, help="memory for warm models, as 64Gi")
    made.add_argument(
        "--cache-dir",
        type=Path,
        default=DEFAULT_CACHE,
        help="folder for models fetched from s3://; workers may share it (default: %(default)s)",
    )
    made.add_argument("--device", choices=[device.value for device in Device], default="cpu", help="default: cpu")
    made.add_argument(
        "--engine", choices=[kind.value for kind in EngineKind], default="diffusers", help="default: diffusers"
    )
    made.add_argument(
        "--simulate", default="", help="timings of the simulated engine: load, to_hot, step, … in seconds"
    )
    made.add_argument("--threads", type=int, help="torch's threads; default: torch decides")
    made.add_argument("--grace-seconds", type=float, default=25.0, help="for the running batch on SIGTERM; default: 25")
    made.add_argument("--http-host", default="127.0.0.1", help="of /healthz, /readyz and /metrics; default: 127.0.0.1")
    made.add_argument("--http-port", type=int, default=0, help="default: a free one, said in the heartbeat")
    made.add_argument("--log-file", type=Path, help="default: standard error")
    made.add_argument("--log-level", default="INFO", help="default: INFO")
    return made


def config_of(arguments: Sequence[str]) -> WorkerConfig:
    """The configuration that these arguments mean; exits with a message when they mean none."""
    made = parser()
    given = made.parse_args(arguments)
    try:
        return WorkerConfig(
            pool=str(PoolRef.parse(given.pool)),
            slot=given.slot,
            redis_url=given.redis_url,
            store_url=given.store_url,
            models_dir=given.models_dir.resolve(),
            vram_bytes=parse_bytes(given.vram),
            host_memory_bytes=parse_bytes(given.host_memory),
            cache_dir=given.cache_dir.resolve(),
            device=Device(given.device),
            engine=EngineKind(given.engine),
            threads=given.threads,
            log_file=given.log_file,
            log_level=given.log_level,
            grace_seconds=given.grace_seconds,
            http_host=given.http_host,
            http_port=given.http_port,
            timings=Timings.parse(given.simulate),
        )
    except ValueError as error:
        made.error(str(error))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one worker in this process; returns its exit code."""
    return run(config_of(sys.argv[1:] if arguments is None else arguments))


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

        return SimulatedEngine(config.timings), None
    import torch

    from modelpool_worker.engines.diffusers import DiffusersEngine

    if config.threads is None:
        return DiffusersEngine(config.device.value), None
    torch.set_num_threads(config.threads)
    return DiffusersEngine(config.device.value), functools.partial(torch.set_num_threads, config.threads)
