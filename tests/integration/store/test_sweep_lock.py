"""One sweeper at a time, through Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from modelpool.errors import StoreUnavailable
from modelpool.store.memory import MemoryStore
from modelpool.store.port import StoredObject
from modelpool.store.sweep import LOCK_KEY, RESULT_LIFE_MS, sweep_alone

NOW = 10 * RESULT_LIFE_MS


class SlowStore(MemoryStore):
    """Lists only when told to."""

    def __init__(self) -> None:
        super().__init__(lambda: 0)
        self.listing = asyncio.Event()
        self.go = asyncio.Event()

    async def list(self, prefix: str) -> AsyncIterator[StoredObject]:
        self.listing.set()
        await self.go.wait()
        async for found in super().list(prefix):
            yield found


class BrokenStore(MemoryStore):
    """Loses its disk while being swept."""

    async def delete(self, key: str) -> None:
        raise StoreUnavailable("away")


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as client:
        yield client


async def test_a_second_sweeper_leaves_the_work_to_the_first(client: Redis) -> None:
    store = SlowStore()
    await store.put("results/a.png", b"1")
    first = asyncio.create_task(sweep_alone(client, store, NOW))
    await store.listing.wait()

    assert await sweep_alone(client, store, NOW) is None
    assert await client.pttl(LOCK_KEY) > 0

    store.go.set()
    assert await first == 1
    assert await client.exists(LOCK_KEY) == 0
    assert await sweep_alone(client, store, NOW) == 0


async def test_a_failed_sweep_gives_the_lock_back(client: Redis) -> None:
    store = BrokenStore(lambda: 0)
    await store.put("results/a.png", b"1")
    with pytest.raises(StoreUnavailable):
        await sweep_alone(client, store, NOW)
    assert await client.exists(LOCK_KEY) == 0


async def test_a_lock_that_has_passed_to_another_is_left_alone(client: Redis) -> None:
    store = SlowStore()
    first = asyncio.create_task(sweep_alone(client, store, NOW))
    await store.listing.wait()
    await client.set(LOCK_KEY, "another")
    store.go.set()
    await first
    assert await client.get(LOCK_KEY) == b"another"
