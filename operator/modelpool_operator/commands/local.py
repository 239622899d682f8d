"""``local``: keep the pool of one file, with the supervisor of ``modelpool up`` as runtime."""

from __future__ import annotations

import argparse
import asyncio
import logging
from pathlib import Path

from prometheus_client import CollectorRegistry

from modelpool.board import Board
from modelpool.metrics import OperatorMetrics
from modelpool.queue.redis import RedisQueue
from modelpool.resources.catalog import pool_ref
from modelpool_operator import logs
from modelpool_operator.commands.process import cancel_on_signals, connect_when_there, unix_milliseconds
from modelpool_operator.demand.counters import CounterDemand
from modelpool_operator.health import serve_health
from modelpool_operator.options import add_option
from modelpool_operator.reconcile import Parts, Reconciler
from modelpool_operator.runtimes.local import LocalRuntime
from modelpool_operator.sources.file import PoolFile
from modelpool_operator.workers import Workers

log = logging.getLogger(__name__)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--pool-file", type=Path, required=True, metavar="FILE", help="YAML with one ModelPool")
    add_option(
        parser,
        "--redis-url",
        "MODELPOOL_REDIS_URL",
        required=True,
        metavar="URL",
        help="such as redis://127.0.0.1:6379/0",
    )
    parser.add_argument(
        "--runtime-socket", type=Path, required=True, metavar="PATH", help="Unix socket of the local supervisor"
    )
    parser.add_argument("--listen-host", default="127.0.0.1", metavar="HOST", help="where to listen (%(default)s)")
    parser.add_argument("--listen-port", type=int, metavar="PORT", help="serve /healthz, /readyz and /metrics here")


def run(options: argparse.Namespace) -> None:
    """Until SIGTERM or SIGINT.

    :raises modelpool.errors.ModelpoolError: also within an exception group.
    """
    file = PoolFile(options.pool_file)
    logs.set_up(str(pool_ref(file.pool)))
    asyncio.run(_run(file, options))


async def _run(file: PoolFile, options: argparse.Namespace) -> None:
    cancel_on_signals()
    try:
        await _keep(file, options)
    except asyncio.CancelledError:
        log.info("stopped; the workers serve on")


async def _keep(file: PoolFile, options: argparse.Namespace) -> None:
    client = await connect_when_there(options.redis_url)
    try:
        registry, pool = CollectorRegistry(), pool_ref(file.pool)
        queue = RedisQueue(pool, client)
        reconciler = Reconciler(
            Parts(
                source=file,
                board=Board(pool, client),
                queue=queue,
                demand=CounterDemand(queue),
                workers=Workers(LocalRuntime(options.runtime_socket)),
                metrics=OperatorMetrics(registry),
                now=unix_milliseconds,
            )
        )
        if options.listen_port is None:
            await reconciler.run()
            return
        probes = {"/healthz": reconciler.unhealthy, "/readyz": reconciler.unhealthy}
        async with await serve_health(options.listen_host, options.listen_port, registry, probes):
            await reconciler.run()
    finally:
        await client.aclose()
