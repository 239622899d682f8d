"""``kubernetes``: keep the ModelPools of a cluster, or of some namespaces, with pods as workers."""

from __future__ import annotations

import argparse
import asyncio
import logging
from collections.abc import Awaitable, Callable

import httpx
from kubernetes.aio.client.configuration import Configuration
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from modelpool.errors import ModelpoolError
from modelpool.metrics import OperatorMetrics
from modelpool_operator import logs
from modelpool_operator.cluster.api_server import ApiServer, access
from modelpool_operator.cluster.pools import ClusterPools, PodSetting
from modelpool_operator.cluster.port import ApiNotFound, ApiRefused, ApiUnavailable, Cluster
from modelpool_operator.cluster.sightings import Sightings
from modelpool_operator.cluster.watching import keep_watching, start_watching
from modelpool_operator.commands.process import cancel_on_signals, connect_when_there, unix_milliseconds
from modelpool_operator.demand.prometheus import Prometheus
from modelpool_operator.garbage import keep_searches_short
from modelpool_operator.health import serve_health
from modelpool_operator.keeper import Keeper

log = logging.getLogger(__name__)

LIST_SECONDS = 60.0
"""Between two listings of everything, which mend what a lost event has left wrong."""
LIST_AGAIN_SECONDS = 5.0
"""After one that failed."""
REDIS_CONNECTIONS = 2_000
"""At the most: one for each pool to listen on, and those that are asked in turns."""
AGAIN_SECONDS = 2.0
"""Between attempts while the cluster cannot be listed."""


def run(options: argparse.Namespace) -> None:
    """Until SIGTERM or SIGINT.

    :raises modelpool.errors.ModelpoolError: also within an exception group.
    """
    logs.set_up()
    asyncio.run(_run(options))


async def _run(options: argparse.Namespace) -> None:
    cancel_on_signals()
    try:
        await _serve(options)
    except asyncio.CancelledError:
        log.info("stopped; the workers serve on")


async def _serve(options: argparse.Namespace) -> None:
    async def configuration() -> Configuration:
        return await access(options.kubeconfig, options.context)

    namespaces = [name.strip() for name in options.namespaces.split(",") if name.strip()]
    cluster = ApiServer(await configuration())
    http = httpx.AsyncClient(base_url=options.prometheus_url)
    prometheus = Prometheus(http, unix_milliseconds) if options.prometheus_url else None
    registry = CollectorRegistry()
    # Answered from the beginning: waiting for Redis is no reason to be restarted.
    probes: dict[str, Callable[[], str | None]] = {"/healthz": lambda: None, "/readyz": lambda: "waiting for Redis"}
    client: Redis | None = None
    try:
        async with await serve_health(options.listen_host, options.listen_port, registry, probes):
            client = await connect_when_there(options.redis_url, REDIS_CONNECTIONS)
            setting = PodSetting(options.worker_image, options.redis_url, options.store_url)
            pools = ClusterPools(cluster, client, setting, OperatorMetrics(registry), unix_milliseconds, prometheus)
            keeper = Keeper(pools.sightings.pools, pools, unix_milliseconds)
            pools.listeners.append(keeper.notice)
            probes |= {"/healthz": keeper.unhealthy, "/readyz": pools.unready}
            await _list_until_there(pools.sightings, cluster, namespaces)
            await pools.forget_strangers(namespaces)
            tasks = await start_watching(pools.sightings, configuration, namespaces)
            cancel_on_signals()
            async with asyncio.TaskGroup() as group:
                group.create_task(keep_searches_short())
                if prometheus is not None:
                    group.create_task(prometheus.run())
                    await prometheus.first_answer()
                group.create_task(keep_watching(tasks))
                group.create_task(_list_for_ever(pools.sightings, cluster, namespaces))
                group.create_task(keeper.run())
    finally:
        await http.aclose()
        if client is not None:
            await client.aclose()
        await cluster.close()


async def _list_until_there(sightings: Sightings, cluster: Cluster, namespaces: list[str]) -> None:
    """The cluster, and its ModelPools, may still be coming."""
    told = ""
    while not sightings.complete:
        try:
            await sightings.refresh(cluster, namespaces)
        except (ApiUnavailable, ApiRefused, ApiNotFound) as error:
            what = "is there the CustomResourceDefinition?" if isinstance(error, ApiNotFound) else error.message
            if what != told:
                log.warning("waiting for the cluster's ModelPools", extra={"reason": what})
            told = what
            await asyncio.sleep(AGAIN_SECONDS)
    log.info("keeping pools", extra={"pools": len(sightings.pools()), "namespaces": namespaces or "all"})


async def _list_for_ever(
    sightings: Sightings,
    cluster: Cluster,
    namespaces: list[str],
    rest: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> None:
    failed = False
    while True:
        await rest(LIST_AGAIN_SECONDS if failed else LIST_SECONDS)
        try:
            await sightings.refresh(cluster, namespaces)
            failed = False
        except ModelpoolError as error:
            if not failed:
                log.warning("the cluster cannot be listed", extra={"reason": error.message})
            failed = True
