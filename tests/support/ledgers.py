"""Ledgers, charges and allowances for tests."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from redis.asyncio import Redis

from modelpool_api.door_scripts import DoorScripts
from modelpool_api.identity.days import Days
from modelpool_api.identity.ring import DayKey, SecretRing
from modelpool_api.policy import Burst
from modelpool_api.quota.ceilings import Allowance, Ceiling
from modelpool_api.quota.ledger import Charge, Ledger

RING = SecretRing.parse("a-secret-for-the-tests")
NO_BURST = Burst(per_second=1e6, burst=10**6)

_numbers = itertools.count(1)


def make_ledger(client: Redis, now: Callable[[], int] | None = None, ring: SecretRing = RING) -> Ledger:
    """A process's ledger; each has its own idea of the day until Redis corrects it."""

    async def connected() -> Redis:
        return client

    return Ledger(DoorScripts(connected), Days(connected, ring, now=now))


def new_id() -> str:
    """An id unlike any before it."""
    return f"charge-{next(_numbers)}"


def charge(
    price: int = 1, *, witness: str = "nothing", repeat: str | None = None, body: str = "", id: str | None = None
) -> Charge:
    """A charge unlike any before it."""
    return Charge(id or new_id(), price, witness, repeat, body)


def under(*limits: tuple[str, int | None], burst: Burst = NO_BURST, counter: str = "") -> Callable[[DayKey], Allowance]:
    """An allowance with a ceiling for each (counter, limit); the counter's name is the ceiling's too."""
    ceilings = tuple(Ceiling(name, name, limit) for name, limit in limits)
    return lambda today: Allowance(ceilings, burst, counter)
