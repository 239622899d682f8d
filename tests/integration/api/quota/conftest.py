"""A ledger over a real Redis, with a clock of the test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from modelpool.queue.connection import connect
from modelpool_api.quota.ledger import Ledger
from support.ledgers import make_ledger
from support.queues import Clock


@pytest.fixture
def clock() -> Clock:
    """Stands at noon UTC."""
    return Clock(20_000 * 86_400_000 + 12 * 3_600_000)


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Redis]:
    """A client of an empty Redis."""
    client = await connect(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
def ledger(client: Redis, clock: Clock) -> Ledger:
    """Over that Redis."""
    return make_ledger(client, clock)
