"""One process for many pools: each listens on a connection of its own, and there are enough."""

import asyncio
from contextlib import suppress

from modelpool.board import Board, listed_pools
from modelpool.documents import Catalog
from modelpool.queue.redis import RedisQueue
from modelpool.resources.pool import PoolRef
from modelpool_operator.commands.kubernetes import REDIS_CONNECTIONS
from modelpool_operator.commands.process import connect_when_there
from support import wait_until

POOLS = [PoolRef("art", f"p{number:02}") for number in range(40)]


async def test_all_pools_listen_at_once_and_all_can_still_ask(redis_url: str) -> None:
    async with await connect_when_there(redis_url, REDIS_CONNECTIONS) as client:
        heard: set[PoolRef] = set()

        async def listen(pool: PoolRef) -> None:
            async for _ in RedisQueue(pool, client).wakeups("operator"):
                heard.add(pool)

        tasks = [asyncio.create_task(listen(pool)) for pool in POOLS]

        async def all_have_heard() -> bool:
            for pool in POOLS:
                await RedisQueue(pool, client).ring("operator")
            return heard == set(POOLS)

        try:
            await wait_until(all_have_heard)
        finally:
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task


async def test_a_pool_that_is_gone_leaves_nothing_but_its_epoch_for_a_day(redis_url: str) -> None:
    async with await connect_when_there(redis_url) as client:
        board = Board(POOLS[0], client)
        epoch = await board.take_epoch()
        await board.put_catalog(Catalog(pool=str(POOLS[0])), epoch)
        await board.assign("p00-only-0", epoch, ["flat"])
        await Board(POOLS[1], client).put_catalog(Catalog(pool=str(POOLS[1])))
        assert await listed_pools(client) == POOLS[:2]
        await board.remove_pool()
        assert await listed_pools(client) == [POOLS[1]]
        assert await board.catalog() is None
        assert await board.epoch() > epoch
        assert 0 < await client.ttl(board.keys.epoch) <= 86_400
