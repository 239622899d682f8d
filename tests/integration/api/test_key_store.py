"""Issued keys in Redis: two who change one key at the same moment."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from modelpool_api.accounts.store import KeyNotFound, KeyStore
from modelpool_api.context import unix_ms
from modelpool_api.policy import Plan

PLANS = {"paid": Plan(lane="paid", per_day=100)}
GRACE_MS = 60_000
MOMENTS = (1, 2, 3)
"""Before which of its turns at Redis something else happens. It may need fewer."""


@pytest.fixture
def keys(client: Redis) -> KeyStore:
    """A process's keys, undisturbed."""

    async def connected() -> Redis:
        return client

    return KeyStore(connected, PLANS, unix_ms)


def disturbed(client: Redis, moment: int, happens: Callable[[], Awaitable[object]]) -> KeyStore:
    """Another process's keys; ``happens`` comes before its ``moment``-th turn at Redis."""
    turns = 0

    async def connected() -> Redis:
        nonlocal turns
        turns += 1
        if turns == moment:
            await happens()
        return client

    return KeyStore(connected, PLANS, unix_ms)


@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_key_that_is_revoked_while_it_is_rotated_does_not_come_back(
    keys: KeyStore, client: Redis, moment: int
) -> None:
    record, _ = await keys.create("issued", "studio", "paid")
    other = disturbed(client, moment, lambda: keys.revoke(record.id))
    try:
        _, rotated = await other.rotate(record.id, GRACE_MS)
    except KeyNotFound:
        rotated = None
    if await keys.issued():
        await keys.revoke(record.id)  # the rotation was over before its turn had come
    assert await client.exists(f"mpl:{{door}}:key:{record.id}") == 0
    assert rotated is None or await keys.find(rotated) is None


@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_key_that_is_rotated_while_it_is_revoked_is_gone(keys: KeyStore, client: Redis, moment: int) -> None:
    record, _ = await keys.create("issued", "studio", "paid")
    made: list[str] = []

    async def rotate() -> None:
        made.append((await keys.rotate(record.id, GRACE_MS))[1])

    await disturbed(client, moment, rotate).revoke(record.id)
    for key in made:
        assert await keys.find(key) is None
    assert await keys.issued() == []
    with pytest.raises(KeyNotFound):
        await keys.rotate(record.id, GRACE_MS)


@pytest.mark.parametrize("moment", MOMENTS)
async def test_of_two_rotations_at_one_moment_both_new_secrets_open(keys: KeyStore, client: Redis, moment: int) -> None:
    record, _ = await keys.create("issued", "studio", "paid")
    made: list[str] = []

    async def rotate() -> None:
        made.append((await keys.rotate(record.id, GRACE_MS))[1])

    after, key = await disturbed(client, moment, rotate).rotate(record.id, GRACE_MS)
    assert (after.name, after.plan, after.created_at) == (record.name, record.plan, record.created_at)
    for each in [*made, key]:
        found = await keys.find(each)
        assert found is not None
        assert found.id == record.subject


@pytest.mark.usefixtures("every_reply_is_lost_once")
async def test_a_rotation_whose_answer_was_lost_leaves_the_old_secret_its_grace(keys: KeyStore) -> None:
    record, before = await keys.create("issued", "studio", "paid")
    _, after = await keys.rotate(record.id, GRACE_MS)
    for each in (before, after):
        found = await keys.find(each)
        assert found is not None
        assert found.id == record.subject


@pytest.fixture
def every_reply_is_lost_once(client: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client sends every script again, as it does by itself when a connection ends before the answer came."""
    send = client.evalsha

    async def sent_twice(*args: Any, **options: Any) -> Any:
        await send(*args, **options)
        return await send(*args, **options)

    monkeypatch.setattr(client, "evalsha", sent_twice)
