"""Taking turns."""

from __future__ import annotations

import asyncio

import pytest

from modelpool_api.turns import TooManyWait, Turns

MANY = 100


class Played:
    """Those who want turns; ``order`` is who had one."""

    def __init__(self) -> None:
        self.turns = Turns()
        self.order: list[str] = []
        self.open = asyncio.Event()

    async def one(self, name: str, most: int = MANY) -> None:
        async with self.turns.turn(name[0], most):
            self.order.append(name)
            await self.open.wait()

    async def come(self, *names: str) -> list[asyncio.Task[None]]:
        """One after another: each waits when the next comes."""
        tasks = [asyncio.create_task(self.one(name)) for name in names]
        await asyncio.sleep(0)
        return tasks


async def test_those_of_one_are_served_in_their_order() -> None:
    played = Played()
    tasks = await played.come("a1", "a2", "a3")
    played.open.set()
    await asyncio.gather(*tasks)
    assert played.order == ["a1", "a2", "a3"]


async def test_who_comes_waits_for_one_turn_of_everybody_else() -> None:
    played = Played()
    tasks = await played.come("a1", "a2", "a3", "b1", "b2", "a4", "c1")
    played.open.set()
    await asyncio.gather(*tasks)
    assert played.order == ["a1", "b1", "c1", "a2", "b2", "a3", "a4"]


async def test_only_one_has_a_turn() -> None:
    played = Played()
    tasks = await played.come("a1", "b1", "c1")
    assert played.order == ["a1"]
    played.open.set()
    await asyncio.gather(*tasks)


async def test_nobody_waits_for_more_turns_than_they_may_and_others_still_do() -> None:
    played = Played()
    tasks = await played.come("a1", "a2")
    with pytest.raises(TooManyWait):
        await played.one("a3", most=2)
    tasks += await played.come("b1")
    played.open.set()
    await asyncio.gather(*tasks)
    await played.one("a4", most=2)
    assert played.order == ["a1", "b1", "a2", "a4"]


@pytest.mark.parametrize("leaves", [0, 1, 2])
async def test_who_leaves_holds_nobody_up(leaves: int) -> None:
    played = Played()
    tasks = await played.come("a1", "a2", "b1")
    tasks[leaves].cancel()
    played.open.set()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(end, asyncio.CancelledError) for end in ended] == [n == leaves for n in range(3)]
    await played.one("a3", most=1)
    assert played.order[-1] == "a3"


async def test_who_leaves_as_the_turn_comes_passes_it_on() -> None:
    played = Played()
    async with played.turns.turn("a", MANY):
        second, third = await played.come("b1", "c1")
        played.open.set()
    second.cancel()  # it has its turn, and has not heard of it
    await asyncio.gather(second, third, return_exceptions=True)
    assert second.cancelled()
    assert played.order == ["c1"]


async def test_a_turn_that_ends_badly_is_passed_on() -> None:
    turns = Turns()
    with pytest.raises(ValueError, match="x"):
        async with turns.turn("a", 1):
            raise ValueError("x")
    async with turns.turn("a", 1):
        pass
