"""The front door's scripts on a real Redis."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from modelpool.queue.connection import connect
from modelpool_api.door_scripts import PREFIX, DoorScripts

ECHO = "return {KEYS[1], ARGV[1]}"


@pytest.fixture
def scripts(client: Redis) -> DoorScripts:
    async def connected() -> Redis:
        return client

    return DoorScripts(connected)


async def test_each_of_many_callers_gets_its_own_answer(scripts: DoorScripts) -> None:
    answers = await asyncio.gather(*(scripts.run(ECHO, number) for number in range(200)))
    assert answers == [[PREFIX, str(number)] for number in range(200)]


async def test_a_redis_that_has_forgotten_a_script_is_told_again(scripts: DoorScripts, client: Redis) -> None:
    await scripts.run(ECHO, 1)
    await client.script_flush()
    assert await scripts.run(ECHO, 2) == [PREFIX, "2"]


async def test_a_client_that_was_replaced_is_not_used_any_more(redis_url: str) -> None:
    clients: list[Redis] = []

    async def connected() -> Redis:
        if not clients:
            clients.append(await connect(redis_url))
        return clients[0]

    scripts = DoorScripts(connected)
    await scripts.run(ECHO, 1)
    await clients.pop().aclose()
    assert await scripts.run(ECHO, 2) == [PREFIX, "2"]
    await clients.pop().aclose()
