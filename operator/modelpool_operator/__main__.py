"""``python -m modelpool_operator``: keep the pool of one file, with the local supervisor as runtime."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
import time
from pathlib import Path

from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from modelpool.board import Board
from modelpool.errors import InvalidInput, ModelpoolError, QueueUnavailable, StaleEpoch
from modelpool.metrics import OperatorMetrics
from modelpool.queue.connection import connect
from modelpool.queue.redis import RedisQueue
from modelpool.resources.catalog import pool_ref
from modelpool_operator import logs
from modelpool_operator.demand.counters import CounterDemand
from modelpool_operator.health import serve_health
from modelpool_operator.pool_file import PoolFile
from modelpool_operator.reconcile import Parts, Reconciler
from modelpool_operator.runtimes.local import LocalRuntime
from modelpool_operator.workers import Workers

log = logging.getLogger("modelpool_operator")

EXIT_FAILED = 1
EXIT_INVALID = 2
"""The pool file, an option or this Redis cannot be used; so argparse ends, too."""
EXIT_STALE = 3
"""Another operator has taken over."""
RECONNECT_SECONDS = 1.0


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT. Returns the exit code; what went wrong is one line on standard error."""
    options = _parser().parse_args(arguments)
    try:
        file = PoolFile(options.pool_file)
        logs.set_up(str(pool_ref(file.pool)))
        asyncio.run(_run(file, options))
    except ModelpoolError as error:
        return _ended(error)
    except BaseExceptionGroup as group:
        ours, others = group.split(ModelpoolError)
        if ours is None or others is not None:
            raise
        return _ended(_first(ours))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="modelpool_operator", description="Decides which model sits in which slot.")
    parser.add_argument("--pool-file", type=Path, required=True, metavar="FILE", help="YAML with one ModelPool")
    parser.add_argument("--redis-url", required=True, metavar="URL", help="such as redis://127.0.0.1:6379/0")
    parser.add_argument(
        "--runtime-socket", type=Path, required=True, metavar="PATH", help="Unix socket of the local supervisor"
    )
    parser.add_argument("--metrics-host", default="127.0.0.1", metavar="HOST", help="where to listen (%(default)s)")
    parser.add_argument("--metrics-port", type=int, metavar="PORT", help="serve /healthz and /metrics here")
    return parser


async def _run(file: PoolFile, options: argparse.Namespace) -> None:
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("this runs within a task")
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    try:
        await _keep(file, options)
    except asyncio.CancelledError:
        log.info("stopped; the workers serve on")


async def _keep(file: PoolFile, options: argparse.Namespace) -> None:
    client = await _connected(options.redis_url)
    try:
        registry, pool = CollectorRegistry(), pool_ref(file.pool)
        queue = RedisQueue(pool, client)
        reconciler = Reconciler(
            Parts(
                file=file,
                board=Board(pool, client),
                queue=queue,
                demand=CounterDemand(queue),
                workers=Workers(LocalRuntime(options.runtime_socket)),
                metrics=OperatorMetrics(registry),
                now=lambda: time.time_ns() // 1_000_000,
            )
        )
        if options.metrics_port is None:
            await reconciler.run()
            return
        async with await serve_health(options.metrics_host, options.metrics_port, registry, reconciler.unhealthy):
            await reconciler.run()
    finally:
        await client.aclose()


async def _connected(url: str) -> Redis:
    """Redis may still be starting: that is no reason to give up."""
    waiting = False
    while True:
        try:
            return await connect(url)
        except QueueUnavailable as error:
            if not waiting:
                log.warning("waiting for Redis", extra={"reason": error.message})
            waiting = True
            await asyncio.sleep(RECONNECT_SECONDS)


def _first(group: BaseExceptionGroup[ModelpoolError]) -> ModelpoolError:
    found = group.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found


def _ended(error: ModelpoolError) -> int:
    sys.stderr.write(f"{error.message}\n")
    if isinstance(error, StaleEpoch):
        return EXIT_STALE
    return EXIT_INVALID if isinstance(error, InvalidInput) else EXIT_FAILED


if __name__ == "__main__":
    sys.exit(main())
