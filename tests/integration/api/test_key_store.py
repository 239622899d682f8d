"""Issued keys in Redis: two who change one key at the same moment."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from redis.asyncio import Redis

from modelpool_api.accounts.keys import KeyRecord
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


async def all_open(keys: KeyStore, record: KeyRecord, made: Sequence[str]) -> None:
    """Each of these is a key of the record's."""
    for each in made:
        found = await keys.find(each)
        assert found is not None
        assert found.id == record.subject


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
async def test_of_two_rotations_at_one_moment_both_new_secrets_open_and_the_old_one(
    keys: KeyStore, client: Redis, moment: int
) -> None:
    record, before = await keys.create("issued", "studio", "paid")
    made = [before]

    async def rotate() -> None:
        made.append((await keys.rotate(record.id, GRACE_MS))[1])

    after, key = await disturbed(client, moment, rotate).rotate(record.id, GRACE_MS)
    assert (after.name, after.plan, after.created_at) == (record.name, record.plan, record.created_at)
    await all_open(keys, record, [*made, key])


@pytest.mark.usefixtures("every_reply_is_lost_once")
async def test_a_rotation_whose_answer_was_lost_leaves_the_old_secret_its_grace(keys: KeyStore) -> None:
    record, before = await keys.create("issued", "studio", "paid")
    _, after = await keys.rotate(record.id, GRACE_MS)
    await all_open(keys, record, [before, after])


@pytest.mark.usefixtures("every_reply_is_lost_once")
async def test_a_revocation_whose_answer_was_lost_is_one(keys: KeyStore) -> None:
    record, _ = await keys.create("issued", "studio", "paid")
    await keys.revoke(record.id)
    assert await keys.issued() == []
    with pytest.raises(KeyNotFound):
        await keys.revoke(record.id)


async def test_who_rotates_again_since_the_answer_was_lost_keeps_the_secret_in_use(keys: KeyStore) -> None:
    record, in_use = await keys.create("issued", "studio", "paid")
    _, never_seen = await keys.rotate(record.id, GRACE_MS)
    after, new = await keys.rotate(record.id, GRACE_MS)
    await all_open(keys, record, [in_use, never_seen, new])
    assert len(after.earlier) == 2


async def test_a_rotation_without_grace_ends_all_earlier_secrets(keys: KeyStore) -> None:
    record, first = await keys.create("issued", "studio", "paid")
    _, second = await keys.rotate(record.id, GRACE_MS)
    after, third = await keys.rotate(record.id, 0)
    assert [await keys.find(key) for key in (first, second)] == [None, None]
    assert await keys.find(third) is not None
    assert after.earlier == ()


async def test_an_earlier_secret_keeps_its_own_grace_and_gets_no_more_by_a_later_rotation(client: Redis) -> None:
    now = 1_000_000

    async def connected() -> Redis:
        return client

    keys = KeyStore(connected, PLANS, lambda: now)
    record, first = await keys.create("issued", "studio", "paid")
    _, second = await keys.rotate(record.id, 1_000)
    _, third = await keys.rotate(record.id, 5_000)
    now += 999
    await all_open(keys, record, [first, second, third])
    now += 1
    assert await keys.find(first) is None
    assert await keys.find(second) is not None
    _, _ = await keys.rotate(record.id, 10)
    now += 10
    assert [await keys.find(key) for key in (first, second, third)] == [None] * 3


@pytest.fixture
def every_reply_is_lost_once(client: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client sends every script again, as it does by itself when a connection ends before the answer came."""
    send = client.evalsha

    async def sent_twice(*args: Any, **options: Any) -> Any:
        await send(*args, **options)
        return await send(*args, **options)

    monkeypatch.setattr(client, "evalsha", sent_twice)
