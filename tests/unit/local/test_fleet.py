"""The fleet of workers follows what the operator last said."""

import asyncio
import signal

from modelpool.slots import DesiredSlot, DesiredSlots, SlotPhase
from modelpool_local.backoff import BackOffPolicy
from modelpool_local.fleet import Fleet
from support import wait_until

POOL = "default/studio"


class FakeWorker:
    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.finishing = asyncio.Event()
        self.may_end = asyncio.Event()
        self.may_end.set()
        self._code = 0

    async def wait(self) -> int:
        await self.finishing.wait()
        await self.may_end.wait()
        return self._code

    def send(self, number: signal.Signals) -> None:
        self._code = -number
        if number == signal.SIGKILL:
            self.may_end.set()
        self.finishing.set()


class Yard:
    """Starts workers and remembers them by slot."""

    def __init__(self) -> None:
        self.started: list[DesiredSlot] = []
        self.workers: dict[str, FakeWorker] = {}
        self.gone: list[str] = []
        self.said: list[str] = []
        self.fleet = Fleet(
            POOL, self.start, self.said.append, gone=self.gone.append, policy=BackOffPolicy(first=0, longest=0)
        )

    async def start(self, slot: DesiredSlot) -> FakeWorker:
        self.started.append(slot)
        self.workers[slot.slot] = FakeWorker(1000 + len(self.started))
        return self.workers[slot.slot]

    def phases(self) -> dict[str, SlotPhase]:
        return {slot.slot: slot.phase for slot in self.fleet.observed().slots}


def slot(name: str, vram: int = 100) -> DesiredSlot:
    return DesiredSlot(slot=name, tier="primary", device="cpu", vram_bytes=vram, host_memory_bytes=0)


def desired(*slots: DesiredSlot, epoch: int = 1, pool: str = POOL) -> DesiredSlots:
    return DesiredSlots(pool=pool, epoch=epoch, slots=slots)


async def test_workers_that_shall_exist_are_started_and_reported() -> None:
    yard = Yard()
    yard.fleet.desire(desired(slot("a"), slot("b")))
    await wait_until(lambda: yard.phases() == {"a": SlotPhase.READY, "b": SlotPhase.READY})
    assert [seen.pid for seen in yard.fleet.observed().slots] == [1001, 1002]
    await yard.fleet.drain()


async def test_saying_the_same_again_starts_nothing() -> None:
    yard = Yard()
    for epoch in (1, 1, 2):
        yard.fleet.desire(desired(slot("a"), epoch=epoch))
        await wait_until(lambda: yard.phases() == {"a": SlotPhase.READY})
    assert len(yard.started) == 1
    await yard.fleet.drain()


async def test_a_slot_that_is_no_longer_wanted_is_drained() -> None:
    yard = Yard()
    yard.fleet.desire(desired(slot("a"), slot("b")))
    await wait_until(lambda: len(yard.workers) == 2)
    yard.workers["b"].may_end.clear()
    yard.fleet.desire(desired(slot("a")))
    await wait_until(lambda: yard.phases()["b"] is SlotPhase.DRAINING)
    yard.workers["b"].may_end.set()
    await wait_until(lambda: list(yard.phases()) == ["a"])
    assert yard.gone == ["b"]
    await yard.fleet.drain()


async def test_a_changed_slot_is_drained_and_comes_back_with_the_next_line() -> None:
    yard = Yard()
    yard.fleet.desire(desired(slot("a")))
    await wait_until(lambda: yard.phases() == {"a": SlotPhase.READY})
    yard.fleet.desire(desired(slot("a", vram=200)))
    await wait_until(lambda: not yard.phases())
    yard.fleet.desire(desired(slot("a", vram=200)))
    await wait_until(lambda: yard.phases() == {"a": SlotPhase.READY})
    assert [started.vram_bytes for started in yard.started] == [100, 200]
    await yard.fleet.drain()


async def test_an_older_operator_and_another_pool_are_not_followed() -> None:
    yard = Yard()
    yard.fleet.desire(desired(slot("a"), epoch=5))
    await wait_until(lambda: yard.phases() == {"a": SlotPhase.READY})
    yard.fleet.desire(desired(epoch=4))
    yard.fleet.desire(desired(epoch=6, pool="default/other"))
    assert yard.phases() == {"a": SlotPhase.READY}
    await yard.fleet.drain()


async def test_after_draining_nothing_is_started_any_more() -> None:
    yard = Yard()
    yard.fleet.desire(desired(slot("a")))
    await wait_until(lambda: yard.phases() == {"a": SlotPhase.READY})
    await yard.fleet.drain()
    assert yard.fleet.desire(desired(slot("a"))).slots == ()
    assert len(yard.started) == 1


async def test_killing_ends_workers_that_take_their_time() -> None:
    yard = Yard()
    yard.fleet.desire(desired(slot("a")))
    await wait_until(lambda: yard.phases() == {"a": SlotPhase.READY})
    yard.workers["a"].may_end.clear()
    draining = asyncio.create_task(yard.fleet.drain())
    await wait_until(lambda: yard.phases() == {"a": SlotPhase.DRAINING})
    yard.fleet.kill()
    await draining
    assert yard.phases() == {}


async def test_a_worker_that_cannot_be_ended_does_not_keep_the_others_from_ending() -> None:
    yard = Yard()
    yard.fleet.desire(desired(slot("a"), slot("b")))
    await wait_until(lambda: yard.phases() == {"a": SlotPhase.READY, "b": SlotPhase.READY})

    def refuse(number: signal.Signals) -> None:
        raise PermissionError("not yours")

    yard.workers["a"].send = refuse  # type: ignore[method-assign]
    await yard.fleet.drain()
    assert yard.phases() == {}
    assert sorted(yard.gone) == ["a", "b"]
    assert yard.said == ["a did not end in good order: PermissionError('not yours')"]
