"""Tokens of an OpenID provider at the API's door, with the provider's keys fetched over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from modelpool.queue.connection import connect
from modelpool_api.identity.people import LIFE_MS
from support.openid import Provider, new_key, openid_provider, part
from support.queues import Clock
from support.running_api import published
from support.visitors import SECRET, Door, Visitor, door_settings, open_door


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with openid_provider() as provider:
        yield provider


@pytest.fixture
def clock() -> Clock:
    """Stands a second before midnight UTC."""
    return Clock(20_000 * 86_400_000 - 1_000)


@pytest.fixture
def document(provider: Provider) -> str:
    return f"""
identity: {{{provider.admission}}}
plans:
  account: {{perDay: 3, burst: {{perSecond: 1000, burst: 1000}}}}
  gold: {{lane: paid, perDay: 7}}
"""


@pytest.fixture
async def door(redis_url_any: str, tmp_path: Path, clock: Clock, document: str) -> AsyncIterator[Door]:
    async with published(redis_url_any), open_door(door_settings(redis_url_any, tmp_path, document), clock) as door:
        yield door


async def repeated(visitor: Visitor) -> tuple[str, bool]:
    """The job of one request under one key, and whether it was there already."""
    answer = await visitor.ask(prompt="the same", headers={"Idempotency-Key": "order-4711"})
    assert answer.status_code == 202
    return answer.json()["id"], "idempotency-replayed" in answer.headers


async def test_a_token_brings_the_lane_and_the_allowance_of_its_plan(door: Door, provider: Provider) -> None:
    holder = Visitor(door, key=provider.token())
    assert await holder.admitted(5) == 3
    # The same person with a new token, and somebody else.
    assert await Visitor(door, key=provider.token(jti="another")).remaining() == 0
    assert await Visitor(door, key=provider.token(sub="somebody else")).remaining() == 3
    gold = Visitor(door, key=provider.token(sub="the third", tier="gold"))
    assert (await gold.ask()).json()["lane"] == "paid"
    assert await gold.remaining() == 6


async def test_a_token_that_is_not_good_is_refused_and_never_taken_for_nobody(door: Door, provider: Provider) -> None:
    odd = f"{part({'alg': 'ES256', 'kid': 'one', 'crit': 5})}.{part({})}.AA"
    bad: list[Any] = [provider.token(exp=1), provider.token(aud="others"), provider.token(signed_by=new_key())]
    for token in (*bad, "a.b.c", odd, provider.unsigned(), provider.signed_with_what_is_public()):
        answer = await Visitor(door, key=token).ask()
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert token not in answer.text


async def test_who_has_signed_in_is_the_same_one_after_midnight(door: Door, provider: Provider, clock: Clock) -> None:
    holder = Visitor(door, key=provider.token())
    job, _ = await repeated(holder)
    clock.pass_seconds(2)
    assert await repeated(holder) == (job, True)
    assert await holder.remaining() == 3


async def test_a_rotation_of_the_secret_makes_nobody_somebody_else(
    door: Door, provider: Provider, redis_url_any: str, tmp_path: Path, document: str, clock: Clock
) -> None:
    holder = Visitor(door, key=provider.token())
    job, _ = await repeated(holder)
    newer = "the-new-secret-of-the-tests"
    # Each process takes over from the one before, so that the last does not know the first one's secret.
    for secret in (f"{SECRET},{newer}", f"{newer},{SECRET}", newer):
        settings = door_settings(redis_url_any, tmp_path, document, secret=secret)
        async with open_door(settings, clock) as other:
            assert await repeated(Visitor(other, key=provider.token())) == (job, True)
            assert await Visitor(other, key=provider.token()).remaining() == 2


async def test_nothing_in_redis_tells_who_has_signed_in_and_it_is_forgotten_with_their_usage(
    door: Door, provider: Provider, redis_url_any: str
) -> None:
    await Visitor(door, key=provider.token(sub="anna@example.org")).ask()
    client: Redis = await connect(redis_url_any)
    keys = [str(key) async for key in client.scan_iter("*")]
    (person,) = [key for key in keys if ":person:" in key]
    assert 0 < await client.pttl(person) <= LIFE_MS
    held = [await client.dump(key) for key in keys]
    assert not any("anna" in key for key in keys)
    assert not any(b"anna" in (value if isinstance(value, bytes) else str(value).encode()) for value in held)
    await client.aclose()
