"""When commands that travel together set out."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from redis.asyncio import Redis

from modelpool.queue.pipelining import Pipelining
from support.waiting import PATIENCE_SECONDS


class Held(Pipelining):
    """Answers each pipeline when it is told to."""

    def __init__(self) -> None:
        super().__init__(cast(Redis, None))
        self.under_way: list[asyncio.Future[None]] = []
        self.lengths: list[int] = []

    async def _exchange(self, commands: list[bytes]) -> list[Any]:
        answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.under_way.append(answered)
        self.lengths.append(len(commands))
        await answered
        return [command.split(b"\r\n")[2].decode() for command in commands]


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_who_comes_in_the_turn_in_which_all_trips_end_travels_too() -> None:
    for late in range(6):
        pipelining = Held()
        first = [asyncio.create_task(pipelining.send(name)) for name in ("A",)]
        await turns(2)
        first.append(asyncio.create_task(pipelining.send("B")))
        await turns(2)
        assert len(pipelining.under_way) == 2

        async def comes_late(after: int, onto: Held) -> Any:
            await turns(after)
            return await onto.send("C")

        for answered in pipelining.under_way:
            answered.set_result(None)
        last = asyncio.create_task(comes_late(late, pipelining))
        await turns(12)
        for answered in pipelining.under_way[2:]:
            answered.set_result(None)
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await asyncio.gather(*first, last) == ["A", "B", "C"]


async def test_a_short_trip_and_a_long_one_become_even() -> None:
    pipelining = Held()
    callers = [asyncio.create_task(pipelining.send("0"))]
    await turns(2)
    callers += [asyncio.create_task(pipelining.send(f"{number}")) for number in range(1, 32)]
    await turns(2)
    assert pipelining.lengths == [1, 16], "15 wait for the one, or Redis would have a trip of 31 and then nothing to do"
    pipelining.under_way[0].set_result(None)
    callers.append(asyncio.create_task(pipelining.send("32")))
    await turns(6)
    assert pipelining.lengths == [1, 16, 16]
    for answered in pipelining.under_way[1:]:
        answered.set_result(None)
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await asyncio.gather(*callers) == [f"{number}" for number in range(33)]
