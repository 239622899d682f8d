"""A ledger over a real Redis, with a clock of the test's own."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from modelpool_api.quota.ledger import Ledger
from support.ledgers import make_ledger
from support.queues import Clock


@pytest.fixture
def clock() -> Clock:
    """Stands at noon UTC."""
    return Clock(20_000 * 86_400_000 + 12 * 3_600_000)


@pytest.fixture
def ledger(client: Redis, clock: Clock) -> Ledger:
    """Over that Redis."""
    return make_ledger(client, clock)
