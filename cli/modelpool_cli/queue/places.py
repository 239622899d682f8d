"""Which Redis, which pools there, and to which of them a job belongs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from redis.asyncio import Redis

from modelpool.documents import POOLS_KEY
from modelpool.errors import JobNotFound, NotFound
from modelpool.queue.connection import connect, unavailable
from modelpool.queue.redis import RedisQueue
from modelpool.resources.pool import PoolRef

CONNECTIONS = 16


class Place:
    """The pools that a command is about, on one Redis. ``now`` is Redis's clock at the beginning, in Unix ms."""

    def __init__(self, client: Redis, pools: Mapping[str, PoolRef], now: int) -> None:
        self.client = client
        self.pools = [pools[short] for short in sorted(pools, key=lambda short: pools[short])]
        self.now = now
        self._by_short_id = pools

    def queue_of(self, job: str) -> RedisQueue:
        """The queue that a job is in, as its id says.

        :raises JobNotFound: it is of none of these pools.
        """
        pool = self._by_short_id.get(job.partition("-")[0])
        if pool is None:
            names = ", ".join(f"{pool} ({short}-…)" for short, pool in self._by_short_id.items())
            raise JobNotFound(f"job {job} is of no pool looked at; ids of {names} begin so", param="id")
        return RedisQueue(pool, self.client)


@asynccontextmanager
async def opened(redis_url: str, pool: str | None) -> AsyncIterator[Place]:
    """Connect, and find the pools.

    :raises NotFound: the pool asked for is not there, or none is.
    :raises InvalidInput: no such URL, or no Redis of use.
    :raises QueueUnavailable: nobody answers.
    """
    client = await connect(redis_url, max_connections=CONNECTIONS)
    try:
        with unavailable():
            known = await client.hgetall(POOLS_KEY)
            seconds, microseconds = await client.time()
        pools = {str(short): PoolRef.parse(str(name)) for short, name in known.items()}
        if pool is not None:
            asked = PoolRef.parse(pool)
            with unavailable():
                # A pool that is offered no more may have jobs still.
                if asked not in pools.values() and not await client.exists(asked.key("tally")):
                    names = ", ".join(map(str, pools.values())) or "none"
                    raise NotFound(f"there is no pool {asked} in this Redis; known: {names}", param="pool")
            pools = {asked.short_id: asked}
        if not pools:
            raise NotFound("no pool is known in this Redis: no operator has spoken yet; name one with --pool")
        yield Place(client, pools, int(seconds) * 1000 + int(microseconds) // 1000)
    finally:
        await client.aclose()
