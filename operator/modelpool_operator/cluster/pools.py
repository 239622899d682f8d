"""How the parts of one pool are put together in a cluster, and what is taken away when it is gone."""

from __future__ import annotations

import asyncio
import logging
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from redis.asyncio import Redis

from modelpool.board import Board, listed_pools
from modelpool.errors import QueueUnavailable, StaleEpoch
from modelpool.metrics import OperatorMetrics
from modelpool.queue.redis import RedisQueue
from modelpool.resources.catalog import pool_ref
from modelpool.resources.pool import PoolRef
from modelpool_operator.cluster.port import Cluster
from modelpool_operator.cluster.sightings import Sightings
from modelpool_operator.cluster.telling import ResourceTeller
from modelpool_operator.demand.counters import CounterDemand
from modelpool_operator.demand.port import DemandSource
from modelpool_operator.demand.prometheus import Prometheus
from modelpool_operator.demand.stand_in import WithStandIn
from modelpool_operator.reconcile import Parts, Reconciler
from modelpool_operator.runtimes.pods.runtime import PodRuntime
from modelpool_operator.runtimes.pods.spec import Setting
from modelpool_operator.sources.resource import PoolResource
from modelpool_operator.tellers import Teller
from modelpool_operator.turns import Turns
from modelpool_operator.workers import Workers

log = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
"""Between two looks at a pool's pods while nothing happens to them."""
ROUNDS_AT_ONCE = 4
"""Enough to keep the processor busy while some of them wait for Redis."""
AGAIN_SECONDS = 2.0
"""Between attempts while Redis is away."""


@dataclass(frozen=True, slots=True)
class PodSetting:
    """What all workers are told: the image where their pool names none, and the addresses of Redis and the store."""

    image: str
    redis_url: str
    store_url: str


class ClusterPools:
    """See :class:`modelpool_operator.keeper.Making`. ``now`` gives Unix milliseconds."""

    def __init__(
        self,
        cluster: Cluster,
        client: Redis,
        setting: PodSetting,
        metrics: OperatorMetrics,
        now: Callable[[], int],
        prometheus: Prometheus | None = None,
    ) -> None:
        self.listeners: list[Callable[[PoolRef], None]] = []
        """Who is told that something has happened to a pool."""
        self.sightings = Sightings(self._notice)
        self._cluster = cluster
        self._client = client
        self._setting = setting
        self._metrics = metrics
        self._now = now
        self._prometheus = prometheus
        self._turns = Turns(ROUNDS_AT_ONCE)

    def unready(self) -> str | None:
        """Why this operator cannot do its work yet, or None."""
        return None if self.sightings.complete else "the cluster's pools have not been listed yet"

    def teller(self, pool: PoolRef, uid: str) -> ResourceTeller:
        """See the protocol."""
        there = self.sightings.pools()
        return ResourceTeller(pool, uid, self._cluster, platform.node(), lambda: there.get(pool), self._now)

    def reconciler(self, source: PoolResource, teller: Teller) -> Reconciler:
        """See the protocol."""
        pool = pool_ref(source.pool)
        board, queue = Board(pool, self._client), RedisQueue(pool, self._client)

        async def fence(epoch: int) -> None:
            recorded = await board.epoch()
            if recorded > epoch:
                raise StaleEpoch(
                    f"pool {pool}: a newer operator (epoch {recorded}) has taken over from this one (epoch {epoch})"
                )

        runtime = PodRuntime(
            lambda: source.pool,
            Setting(source.uid, self._setting.image, self._setting.redis_url, self._setting.store_url),
            cluster=self._cluster,
            sightings=self.sightings,
            heartbeats=board.heartbeats,
            fence=fence,
            now=self._now,
        )
        return Reconciler(
            Parts(
                source=source,
                board=board,
                queue=queue,
                demand=self._demand(pool, queue),
                workers=Workers(runtime, LOOK_SECONDS),
                metrics=self._metrics,
                now=self._now,
                teller=teller,
                turns=self._turns,
            )
        )

    def _demand(self, pool: PoolRef, queue: RedisQueue) -> DemandSource:
        counters = CounterDemand(queue)
        return WithStandIn(self._prometheus.of(pool), counters) if self._prometheus is not None else counters

    async def forget(self, pool: PoolRef) -> None:
        """See the protocol."""
        self._metrics.forget(str(pool))
        if self._prometheus is not None:
            self._prometheus.forget(pool)
        while True:
            try:
                await Board(pool, self._client).remove_pool()
            except QueueUnavailable as error:
                log.debug("%s is forgotten later: %s", pool, error.message)
                await asyncio.sleep(AGAIN_SECONDS)
            else:
                return

    async def forget_strangers(self, namespaces: Sequence[str]) -> None:
        """Forget what Redis lists and the cluster, in these namespaces or in all, has not: deleted while nobody looked."""
        there = self.sightings.pools()
        for pool in await self._listed():
            if pool not in there and (not namespaces or pool.namespace in namespaces):
                log.info("the pool is gone", extra={"pool": str(pool)})
                await self.forget(pool)

    async def _listed(self) -> list[PoolRef]:
        while True:
            try:
                return await listed_pools(self._client)
            except QueueUnavailable as error:
                log.warning("waiting for Redis", extra={"reason": error.message})
                await asyncio.sleep(AGAIN_SECONDS)

    def _notice(self, pool: PoolRef) -> None:
        for listener in self.listeners:
            listener(pool)
