"""Rounds take turns, and nobody waits for ever."""

import asyncio

from modelpool_operator.turns import Turns
from support import wait_until
from support.waiting import PATIENCE_SECONDS


async def test_no_more_than_the_given_number_work_at_once_and_the_first_come_goes_first() -> None:
    turns, inside, most, order = Turns(2, longest_wait=10), 0, 0, []

    async def round_(number: int) -> None:
        nonlocal inside, most
        async with turns.take():
            inside += 1
            most = max(most, inside)
            order.append(number)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(round_(number) for number in range(20)))
    assert most == 2
    assert order == list(range(20))


async def test_who_has_waited_long_enough_goes_ahead_and_takes_nobodys_turn_away() -> None:
    turns, go_on = Turns(1, longest_wait=0.01), asyncio.Event()

    async def slow() -> None:
        async with turns.take():
            await go_on.wait()

    async def impatient() -> bool:
        async with turns.take():
            return go_on.is_set()

    async with asyncio.TaskGroup() as group:
        group.create_task(slow())
        await asyncio.sleep(0)
        assert await impatient() is False
        go_on.set()
    assert await impatient() is True


async def test_a_round_that_fails_gives_its_turn_back() -> None:
    turns = Turns(1, longest_wait=10)
    for _ in range(3):
        try:
            async with turns.take():
                raise RuntimeError("a round has failed")
        except RuntimeError:
            continue
    async with asyncio.timeout(PATIENCE_SECONDS), turns.take():
        pass


async def test_who_is_urgent_goes_first_even_if_that_came_out_while_waiting() -> None:
    turns, order, urgent = Turns(1, longest_wait=10), [], set[int]()

    async def round_(number: int) -> None:
        async with turns.take(lambda: number in urgent):
            order.append(number)
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group, turns.take():
        for number in range(5):
            group.create_task(round_(number))
        await asyncio.sleep(0)
        urgent.update({3, 4})
    assert order == [3, 4, 0, 1, 2]


async def test_who_gives_up_waiting_keeps_nobody_waiting() -> None:
    turns, order = Turns(1, longest_wait=10), []

    async def round_(number: int) -> None:
        async with turns.take():
            order.append(number)

    async with asyncio.TaskGroup() as group:
        async with turns.take():
            waiting = [group.create_task(round_(number)) for number in range(3)]
            await asyncio.sleep(0)
            waiting[0].cancel()
        waiting[1].cancel()  # its turn has come already, and it does not know yet
    assert order == [2]


async def test_who_is_urgent_does_not_wait_for_rounds_that_are_under_way() -> None:
    turns, urgent, go_on, order = Turns(1, longest_wait=10), set[str](), asyncio.Event(), []

    async def round_(name: str) -> None:
        async with turns.take(lambda: name in urgent):
            order.append(name)
            await go_on.wait()

    async with asyncio.TaskGroup() as group:
        for name in ("slow", "usual", "miss"):
            group.create_task(round_(name))
        await wait_until(lambda: order == ["slow"])
        urgent.add("miss")
        turns.look_again()
        await wait_until(lambda: order == ["slow", "miss"])
        go_on.set()
    assert order == ["slow", "miss", "usual"]


async def test_while_something_urgent_is_under_way_nothing_else_begins() -> None:
    turns, go_on, order = Turns(2, longest_wait=10), asyncio.Event(), []

    async def urgent() -> None:
        async with turns.take(lambda: True):
            order.append("miss")
            await go_on.wait()
            order.append("answered")

    async def usual() -> None:
        async with turns.take():
            order.append("usual")

    async with asyncio.TaskGroup() as group:
        group.create_task(urgent())
        await wait_until(lambda: order == ["miss"])
        group.create_task(usual())
        await asyncio.sleep(0)
        go_on.set()
    assert order == ["miss", "answered", "usual"]
