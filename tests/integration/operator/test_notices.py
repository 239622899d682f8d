"""What the operator publishes, and what of it outlives operators and workers."""

from __future__ import annotations

from redis.asyncio import Redis

from modelpool.board import Board
from modelpool.documents import Catalog
from modelpool_operator.notices import Notices
from support.queues import POOL


async def test_the_engine_of_the_last_pictures_is_known_to_the_next_operator_before_a_worker_lives(
    redis_url_any: str,
) -> None:
    async with Redis.from_url(redis_url_any) as client:
        board, offered = Board(POOL, client), Catalog(pool=str(POOL))
        epoch = await board.take_epoch()
        assert await Notices(board).publish_catalog(offered, "torch-1", epoch, 1)
        next_one = Notices(board)
        assert not await next_one.publish_catalog(offered, "", epoch, 2)
        assert await board.catalog() == offered.model_copy(update={"engine": "torch-1", "updated_at": 1})
        assert await next_one.publish_catalog(offered, "torch-2", epoch, 3)
        assert await board.catalog() == offered.model_copy(update={"engine": "torch-2", "updated_at": 3})
