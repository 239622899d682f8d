"""The board on real servers: what one side writes the other reads, old operators are fenced, damage is survived."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from modelpool.board import Board
from modelpool.documents import HEARTBEAT_TTL_MS, POOLS_KEY, Catalog, Heartbeat
from modelpool.errors import QueueUnavailable, StaleEpoch
from modelpool.resources.pool import PoolRef
from modelpool.resources.status import ModelPoolStatus
from support import RedisProcess, bundled_redis, unused_port
from support.waiting import PATIENCE_SECONDS

POOL = PoolRef("default", "studio")
SLOT = "studio-primary-0"


@pytest_asyncio.fixture
async def client(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as connected:
        yield connected


@pytest.fixture
def board(client: Redis) -> Board:
    return Board(POOL, client)


def heartbeat(slot: str = SLOT, hot: tuple[str, ...] = ()) -> Heartbeat:
    return Heartbeat(slot=slot, worker="worker-1", pid=7, hot=hot)


async def test_the_catalog_comes_back_and_the_pool_is_listed_by_its_short_id(board: Board, client: Redis) -> None:
    assert await board.catalog() is None
    catalog = Catalog(pool=str(POOL), default=True, updated_at=5)
    await board.put_catalog(catalog)
    assert await board.catalog() == catalog
    assert await client.hgetall(POOLS_KEY) == {POOL.short_id.encode(): str(POOL).encode()}


async def test_a_pool_that_has_redis_to_itself_takes_the_others_off_the_list(board: Board, client: Redis) -> None:
    await Board(PoolRef("default", "before"), client).put_catalog(Catalog(pool="default/before"))
    await board.put_catalog(Catalog(pool=str(POOL)))
    await board.delist_others()
    await board.delist_others()
    assert await client.hgetall(POOLS_KEY) == {POOL.short_id.encode(): str(POOL).encode()}


async def test_decoded_responses_are_fine_too(redis_url: str) -> None:
    async with Redis.from_url(redis_url, decode_responses=True) as client:
        board = Board(POOL, client)
        epoch = await board.take_epoch()
        written = await board.assign(SLOT, epoch, ["sdxl"])
        assert await board.assignment(SLOT) == written
        assert await board.epoch() == epoch


async def test_each_epoch_is_higher_than_all_before(board: Board) -> None:
    assert await board.epoch() == 0
    assert [await board.take_epoch(), await board.take_epoch(), await board.take_epoch(at_least=40)] == [1, 2, 41]
    assert await board.take_epoch(at_least=3) == 42
    assert await board.epoch() == 42


async def test_the_version_grows_only_when_the_slot_shall_hold_something_else(board: Board) -> None:
    assert await board.assignment(SLOT) is None
    first = await board.assign(SLOT, 1, ["sdxl", "flux"], ["turbo"])
    assert (first.version, first.hot, first.warm) == (1, ("flux", "sdxl"), ("turbo",))
    again = await board.assign(SLOT, 1, ["flux", "sdxl"], ["turbo"])
    assert again == first
    taken_over = await board.assign(SLOT, 2, ["flux", "sdxl"], ["turbo"])
    assert (taken_over.version, taken_over.epoch, taken_over.updated_at) == (1, 2, first.updated_at)
    emptied = await board.assign(SLOT, 2, [], [])
    assert (emptied.version, emptied.hot, emptied.warm) == (2, (), ())
    assert await board.assign(SLOT, 2, [], []) == emptied
    warmed = await board.assign(SLOT, 2, [], ["sdxl"])
    assert warmed.version == 3
    assert await board.assignment(SLOT) == warmed


async def test_an_older_operator_is_refused_everywhere(board: Board) -> None:
    old = await board.take_epoch()
    await board.assign(SLOT, old, ["sdxl"])
    new = await board.take_epoch()
    with pytest.raises(StaleEpoch, match=rf"epoch {new}\) has taken over from this one \(epoch {old}\)"):
        await board.assign(SLOT, old, ["flux"])
    with pytest.raises(StaleEpoch):
        await board.put_catalog(Catalog(pool=str(POOL)), old)
    with pytest.raises(StaleEpoch):
        await board.put_status(ModelPoolStatus(epoch=old))
    with pytest.raises(StaleEpoch):
        await board.remove_slot(SLOT, old)
    assignment = await board.assignment(SLOT)
    assert assignment is not None
    assert assignment.hot == ("sdxl",)
    assert await board.catalog() is None
    assert await board.status() is None


async def test_an_operator_in_charge_heals_a_redis_that_lost_its_data(board: Board, client: Redis) -> None:
    await board.take_epoch(at_least=9)
    await client.flushall()
    await board.assign(SLOT, 10, ["sdxl"])
    assert await board.epoch() == 10
    with pytest.raises(StaleEpoch):
        await board.assign(SLOT, 9, [])


async def test_status_and_removed_slots(board: Board) -> None:
    status = ModelPoolStatus(epoch=1, slots=7, queued=3)
    await board.put_status(status)
    assert await board.status() == status
    await board.assign(SLOT, 1, ["sdxl"])
    await board.beat(heartbeat())
    await board.remove_slot(SLOT, 1)
    assert await board.assignment(SLOT) is None
    assert await board.heartbeats([SLOT]) == {}


async def test_heartbeats_expire_and_farewells_do_not_wait_for_it(board: Board, client: Redis) -> None:
    await board.beat(heartbeat("a", hot=("sdxl",)))
    await board.beat(heartbeat("b"))
    living = await board.heartbeats(["a", "b", "c"])
    assert set(living) == {"a", "b"}
    assert living["a"].hot == ("sdxl",)
    assert 0 < await client.pttl(board.keys.heartbeat("a")) <= HEARTBEAT_TTL_MS
    await board.farewell("a")
    assert set(await board.heartbeats(["a", "b"])) == {"b"}
    assert await board.heartbeats([]) == {}


async def test_unknown_fields_are_ignored_and_unreadable_documents_count_as_absent(board: Board, client: Redis) -> None:
    body = {**json.loads(heartbeat("new").to_json()), "aFieldOfTomorrow": {"x": 1}}
    await client.set(board.keys.heartbeat("new"), json.dumps(body))
    await client.set(board.keys.heartbeat("broken"), b'{"slot": "broken", \xff')
    await client.set(board.keys.heartbeat("partial"), '{"slot": "partial"}')
    await client.lpush(board.keys.heartbeat("list"), "x")
    assert set(await board.heartbeats(["new", "broken", "partial", "list"])) == {"new"}
    await client.lpush(board.keys.catalog, "x")
    await client.set(board.keys.status, "[]")
    assert await board.catalog() is None
    assert await board.status() is None


@pytest.mark.parametrize("damage", ["", "[]", "null", '{"version": "x"}', "{", '{"version": 4, "hot": 3}'])
async def test_a_damaged_assignment_is_replaced(board: Board, client: Redis, damage: str) -> None:
    await client.set(board.keys.assignment(SLOT), damage)
    assert await board.assignment(SLOT) is None
    written = await board.assign(SLOT, 1, ["sdxl"])
    assert await board.assignment(SLOT) == written


async def test_an_assignment_under_a_key_of_another_type_is_replaced(board: Board, client: Redis) -> None:
    await client.lpush(board.keys.assignment(SLOT), "x")
    assert await board.assignment(SLOT) is None
    await board.assign(SLOT, 1, [])
    assert await board.assignment(SLOT) is not None


async def test_the_bell_rings_at_the_start_and_at_every_change_and_not_otherwise(board: Board) -> None:
    bell = board.bell(SLOT)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await anext(bell)
        await board.assign(SLOT, 1, ["sdxl"])
        await anext(bell)
        await board.assign(SLOT, 2, ["sdxl"])
        await board.assign("studio-primary-1", 2, ["sdxl"])
        following = asyncio.ensure_future(anext(bell))
        assert (await asyncio.wait({following}, timeout=0.05))[0] == set()
        await board.assign(SLOT, 2, ["flux"])
        await following
    await bell.aclose()


async def test_the_bell_outlives_redis_and_then_rings_because_something_may_have_been_missed(tmp_path: Path) -> None:
    with RedisProcess(bundled_redis(), tmp_path) as server:
        async with Redis.from_url(server.url) as client:
            board = Board(POOL, client)
            bell = board.bell(SLOT)
            async with asyncio.timeout(PATIENCE_SECONDS):
                await anext(bell)
                following = asyncio.ensure_future(anext(bell))
                server.kill()
                with pytest.raises(QueueUnavailable):
                    await board.assignment(SLOT)
                server.start()
                await following
                await board.assign(SLOT, 1, ["sdxl"])
                await anext(bell)
            await bell.aclose()


async def test_an_unreachable_redis_is_one_sentence() -> None:
    async with Redis.from_url(f"redis://127.0.0.1:{unused_port()}/0") as client:
        board = Board(POOL, client)
        for call in (board.take_epoch(), board.catalog(), board.beat(heartbeat()), board.assign(SLOT, 1, [])):
            with pytest.raises(QueueUnavailable, match="Redis cannot be reached"):
                await call
