"""The keeper of one process, with a child made for the test."""

import asyncio
import signal

from modelpool.slots import SlotPhase
from modelpool_local.backoff import BackOffPolicy
from modelpool_local.processes import Kept, describe_exit
from support import wait_until
from support.waiting import PATIENCE_SECONDS

AT_ONCE = BackOffPolicy(first=0, longest=0)


class FakeChild:
    """Ends when told to, or on a signal that it obeys."""

    def __init__(self, pid: int, *, stubborn: bool = False) -> None:
        self.pid = pid
        self.signals: list[signal.Signals] = []
        self._stubborn = stubborn
        self._code: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def wait(self) -> int:
        return await asyncio.shield(self._code)

    def send(self, number: signal.Signals) -> None:
        self.signals.append(number)
        if number == signal.SIGKILL or not self._stubborn:
            self.end(-number)

    def end(self, code: int) -> None:
        if not self._code.done():
            self._code.set_result(code)


class Nursery:
    """Starts children and remembers them."""

    def __init__(self, *, stubborn: bool = False) -> None:
        self.children: list[FakeChild] = []
        self.said: list[str] = []
        self._stubborn = stubborn

    async def start(self) -> FakeChild:
        self.children.append(FakeChild(100 + len(self.children), stubborn=self._stubborn))
        return self.children[-1]

    def keep(self, policy: BackOffPolicy = AT_ONCE, grace: float = 30) -> Kept:
        return Kept("part", self.start, self.said.append, policy=policy, grace=grace)


async def test_a_child_that_crashes_is_started_again_and_it_is_said() -> None:
    nursery = Nursery()
    kept = nursery.keep()
    kept.begin()
    await wait_until(lambda: kept.phase is SlotPhase.READY)
    nursery.children[0].end(-9)
    await wait_until(lambda: kept.pid == 101)
    assert kept.restarts == 1
    assert nursery.said == ["part was killed by SIGKILL; starts again in 0 s"]
    await kept.stop()


async def test_while_it_waits_to_start_again_the_reason_is_shown() -> None:
    nursery = Nursery()
    kept = nursery.keep(BackOffPolicy(first=60, longest=60))
    kept.begin()
    await wait_until(lambda: nursery.children)
    nursery.children[0].end(3)
    await wait_until(lambda: kept.phase is SlotPhase.RESTARTING)
    assert kept.reason == "exited with code 3; starts again in 60 s"
    assert kept.pid is None
    await kept.stop()
    assert len(nursery.children) == 1


async def test_a_child_that_cannot_be_started_is_tried_again() -> None:
    attempts: list[int] = []
    nursery = Nursery()

    async def start() -> FakeChild:
        attempts.append(1)
        if len(attempts) < 3:
            raise OSError("no such program")
        return await nursery.start()

    kept = Kept("part", start, nursery.said.append, policy=AT_ONCE)
    kept.begin()
    await wait_until(lambda: kept.phase is SlotPhase.READY)
    assert nursery.said[0] == "part could not be started: no such program; starts again in 0 s"
    await kept.stop()


async def test_a_start_that_fails_in_an_unforeseen_way_is_tried_again_and_said() -> None:
    attempts: list[int] = []
    nursery = Nursery()

    async def start() -> FakeChild:
        attempts.append(1)
        if len(attempts) < 2:
            raise EOFError  # of a fork server that died while it imported
        return await nursery.start()

    kept = Kept("part", start, nursery.said.append, policy=AT_ONCE)
    kept.begin()
    await wait_until(lambda: kept.phase is SlotPhase.READY)
    assert nursery.said == ["part could not be started: EOFError; starts again in 0 s"]
    await kept.stop()


async def test_a_child_that_hangs_is_killed_and_started_again_with_the_reason() -> None:
    nursery = Nursery(stubborn=True)
    kept = nursery.keep()
    kept.begin()
    await wait_until(lambda: kept.phase is SlotPhase.READY)
    kept.put_down("it gave no sign of life for 121 s")
    await wait_until(lambda: kept.pid == 101)
    nursery.children[1].end(3)
    await wait_until(lambda: kept.pid == 102)
    assert nursery.said == [
        "part was killed: it gave no sign of life for 121 s; starts again in 0 s",
        "part exited with code 3; starts again in 0 s",
    ]
    nursery.children[2].end(0)
    kept.kill()


async def test_stopping_asks_the_child_to_end_and_does_not_start_it_again() -> None:
    nursery = Nursery()
    kept = nursery.keep()
    kept.begin()
    await wait_until(lambda: kept.phase is SlotPhase.READY)
    await kept.stop()
    assert nursery.children[0].signals == [signal.SIGTERM]
    assert kept.ended.is_set()
    assert nursery.said == []


async def test_a_child_that_does_not_end_in_time_is_killed() -> None:
    nursery = Nursery(stubborn=True)
    kept = nursery.keep(grace=0.01)
    kept.begin()
    await wait_until(lambda: kept.phase is SlotPhase.READY)
    await kept.stop()
    assert nursery.children[0].signals == [signal.SIGTERM, signal.SIGKILL]


async def test_a_kill_while_the_child_is_being_started_ends_it_as_soon_as_it_is_there() -> None:
    nursery = Nursery(stubborn=True)
    may_start, starting = asyncio.Event(), asyncio.Event()

    async def start() -> FakeChild:
        starting.set()
        await may_start.wait()
        return await nursery.start()

    kept = Kept("part", start, nursery.said.append, policy=AT_ONCE)
    kept.begin()
    await starting.wait()
    stopping = asyncio.create_task(kept.stop())
    await wait_until(lambda: kept.phase is SlotPhase.DRAINING)
    kept.kill()
    may_start.set()
    async with asyncio.timeout(PATIENCE_SECONDS):
        await stopping
    assert nursery.children[0].signals == [signal.SIGKILL]
    assert nursery.said == []


async def test_what_was_never_begun_can_be_stopped() -> None:
    kept = Nursery().keep()
    await kept.stop()
    assert kept.ended.is_set()


def test_exit_codes_are_told_in_words() -> None:
    assert describe_exit(0) == "exited with code 0"
    assert describe_exit(-15) == "was killed by SIGTERM"
    assert describe_exit(-99) == "was killed by signal 99"
