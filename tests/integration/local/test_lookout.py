from __future__ import annotations

from pathlib import Path

from redis.asyncio import Redis

from modelpool.board import Board
from modelpool.resources.catalog import catalog_of, pool_ref
from modelpool.resources.load import load_pool
from modelpool.resources.status import ModelPoolStatus
from modelpool_local.lookout import Lookout


async def test_what_an_operator_of_an_earlier_life_has_said_is_no_news(client: Redis, small: Path) -> None:
    pool = load_pool(small)
    board, lookout = Board(pool_ref(pool), client), Lookout(catalog_of(pool), client)
    await board.put_status(ModelPoolStatus(epoch=await board.take_epoch()))
    assert (await lookout.look({})).status is not None
    await lookout.look_ahead()
    assert (await lookout.look({})).status is None
    new = ModelPoolStatus(epoch=await board.take_epoch())
    await board.put_status(new)
    assert (await lookout.look({})).status == new
