from __future__ import annotations

from pathlib import Path

import pytest

from modelpool.documents import RunningBatch
from modelpool_worker.engines.simulated import SimulatedEngine
from modelpool_worker.residency.budgets import Budget
from modelpool_worker.residency.keeper import Keeper
from modelpool_worker.slot import LOOP_STALLED_SECONDS, STALLED_SECONDS, Slot, resident_bytes
from modelpool_worker.sources import Sources
from modelpool_worker.threads import SerialThread
from support.worker import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def slot(clock: FakeClock) -> Slot:
    engine = SimulatedEngine()
    made = Slot("s-0", engine, clock)
    made.keeper = Keeper(
        engine, SerialThread("loader"), Sources(Path("/none"), Path("/none")), Budget(1, 1), clock, changed=lambda: None
    )
    return made


def busy(slot: Slot) -> None:
    slot.batch = RunningBatch(model="flat", size=1, since=0, steps=4)
    slot.moved()


def test_an_idle_slot_is_healthy_however_long(slot: Slot, clock: FakeClock) -> None:
    clock.seconds += 10 * STALLED_SECONDS
    slot.snapshot()
    assert slot.unhealthy() is None


def test_a_batch_without_steps_is_a_hanging_engine(slot: Slot, clock: FakeClock) -> None:
    busy(slot)
    clock.seconds += STALLED_SECONDS + 1
    slot.snapshot()
    assert "the engine has made no step" in (slot.unhealthy() or "")
    slot.moved()
    assert slot.unhealthy() is None


def test_an_event_loop_that_does_not_turn_is_noticed(slot: Slot, clock: FakeClock) -> None:
    slot.snapshot()
    clock.seconds += LOOP_STALLED_SECONDS + 1
    assert "event loop" in (slot.unhealthy() or "")


def test_a_slot_is_ready_when_its_assignment_is_reached_and_it_is_not_draining(slot: Slot) -> None:
    assert slot.unready() == "the assignment has not been reached"
    slot.draining = True
    assert slot.unready() == "draining"


def test_progress_is_now_while_idle_and_the_last_step_while_busy(slot: Slot, clock: FakeClock) -> None:
    busy(slot)
    step = clock.now_ms()
    clock.seconds += 5
    assert slot.snapshot().progress_at == step
    slot.batch = None
    assert slot.snapshot().progress_at == clock.now_ms()


def test_the_pace_is_seconds_by_megapixel_steps(slot: Slot) -> None:
    slot.ran("flat", seconds=2.0, megapixel_steps=4.0)
    pace = slot.snapshot().measured["flat"].seconds_per_megapixel_step
    assert pace is not None
    assert pace.mean == 0.5


def test_every_process_is_another_worker(clock: FakeClock) -> None:
    assert Slot("s-0", SimulatedEngine(), clock).worker != Slot("s-0", SimulatedEngine(), clock).worker


def test_memory_of_this_process_is_known() -> None:
    assert resident_bytes() > 10_000_000
