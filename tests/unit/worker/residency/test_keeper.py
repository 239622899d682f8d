from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from modelpool.documents import REMOTE, Assignment, Catalog, CatalogModel
from modelpool.errors import DeviceFailed, EngineError, OutOfMemory
from modelpool_worker.engines.protocol import Progress, Resident
from modelpool_worker.engines.simulated import SimulatedEngine, SimulatedResident
from modelpool_worker.residency.budgets import Budget
from modelpool_worker.residency.keeper import RETRY_FAILED_SECONDS, Keeper
from modelpool_worker.residency.moves import Place
from modelpool_worker.sources import Sources
from modelpool_worker.threads import SerialThread
from modelpool_worker.timings import Timings
from support import wait_until
from support.worker import MEBI, FakeClock, model


@dataclass
class Bench:
    """A keeper at work."""

    keeper: Keeper
    engine: SimulatedEngine
    clock: FakeClock
    task: asyncio.Task[None]
    loads: list[tuple[str, Place]]
    sources: Remote
    version: int = 0
    broken: set[str] = field(default_factory=set)

    def want(self, *hot: str, warm: tuple[str, ...] = (), catalog: Catalog | None = None, again: bool = False) -> None:
        """Assign; ``again`` repeats the last version."""
        self.version += not again
        assigned = Assignment(epoch=1, version=self.version, hot=hot, warm=warm)
        self.keeper.want(assigned, catalog or offered("a", "b", "c"))

    async def settled(self) -> None:
        """Until the assignment is worked off."""
        await wait_until(lambda: self.keeper.settled or self.task.done())
        if self.task.done():
            self.task.result()


def offered(*names: str, revision: str = "1") -> Catalog:
    return Catalog(pool="p", models=tuple(model(name, revision=revision) for name in names))


class Remote(Sources):
    """Holds some models' files back until the test lets them come."""

    def __init__(self) -> None:
        super().__init__(Path("/none"), Path("/none"))
        self.away: set[str] = set()
        self.may_come = threading.Event()

    def is_here(self, model: CatalogModel) -> bool:
        return model.name not in self.away

    def fetch(self, model: CatalogModel, progress: Progress) -> None:
        progress(0.5)
        self.may_come.wait(10)
        self.away.remove(model.name)


class Engine(SimulatedEngine):
    """Fails to load what is broken."""

    def __init__(self, broken: set[str]) -> None:
        super().__init__()
        self.broken = broken

    def load(self, model: object, folder: Path, progress: Progress) -> Resident:
        self.timings = Timings(fail_loads=frozenset(self.broken))
        return super().load(model, folder, progress)  # type: ignore[arg-type]


Start = Callable[[int, int], Bench]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts a keeper with budgets in MiB; a model weighs 10 and needs 5 to run."""
    benches: list[Bench] = []

    def begin(vram: int = 100, host: int = 100) -> Bench:
        broken: set[str] = set()
        sources = Remote()
        engine, clock, loads = Engine(broken), FakeClock(), list[tuple[str, Place]]()
        keeper = Keeper(
            engine,
            SerialThread("loader"),
            sources,
            Budget(vram * MEBI, host * MEBI),
            clock,
            changed=lambda: None,
            loaded=lambda name, origin, seconds: loads.append((name, origin)),
        )
        bench = Bench(keeper, engine, clock, asyncio.create_task(keeper.run()), loads, sources, broken=broken)
        benches.append(bench)
        return bench

    yield begin
    for bench in benches:
        bench.task.cancel()
    await asyncio.gather(*(bench.task for bench in benches), return_exceptions=True)


async def test_without_an_assignment_nothing_is_loaded(start: Start) -> None:
    bench = start(100, 100)
    await asyncio.sleep(0)
    assert not bench.keeper.hot
    assert not bench.keeper.settled


async def test_it_holds_what_is_assigned(start: Start) -> None:
    bench = start(100, 100)
    bench.want("a", "b", warm=("c",))
    await bench.settled()
    assert (bench.keeper.hot, bench.keeper.warm) == (("a", "b"), ("c",))
    assert bench.keeper.serving == ("a", "b")
    assert bench.loads == [("a", Place.COLD), ("b", Place.COLD)]
    assert bench.keeper.weights(Place.HOT) == 20 * MEBI


async def test_loads_are_timed_by_origin(start: Start) -> None:
    bench = start(100, 100)
    bench.want("a")
    await bench.settled()
    bench.want("b", warm=("a",))
    await bench.settled()
    bench.want("a")
    await bench.settled()
    measured = bench.keeper.measured("a")
    assert measured.cold_to_hot_seconds is not None
    assert measured.warm_to_hot_seconds is not None
    assert measured.weights_bytes == 10 * MEBI


async def test_files_that_are_elsewhere_are_fetched_first_and_that_is_no_part_of_the_load_time(start: Start) -> None:
    bench = start(100, 100)
    bench.sources.away = {"a"}
    bench.want("a")
    await wait_until(lambda: bench.keeper.loading is not None and bench.keeper.loading.progress == 0.5)
    assert bench.keeper.loading is not None
    assert bench.keeper.loading.origin == REMOTE
    bench.clock.seconds += 1000
    bench.sources.may_come.set()
    await bench.settled()
    assert bench.keeper.hot == ("a",)
    stat = bench.keeper.measured("a").cold_to_hot_seconds
    assert stat is not None
    assert stat.mean < 1


async def test_a_load_in_two_moves_counts_as_both(start: Start) -> None:
    bench = start(100, 100)
    bench.want(warm=("a",))
    await bench.settled()
    bench.want("a")
    await bench.settled()
    assert len(bench.keeper.pin("a").loads_ms) == 2
    bench.keeper.unpin("a")
    bench.want("b", warm=("a",))
    await bench.settled()
    bench.want("a")
    await bench.settled()
    assert len(bench.keeper.pin("a").loads_ms) == 2


async def test_a_pinned_model_is_no_longer_offered_but_stays_until_unpinned(start: Start) -> None:
    bench = start(100, 100)
    bench.want("a")
    await bench.settled()
    bench.keeper.pin("a")
    bench.want("b")
    assert not bench.keeper.serving
    await asyncio.sleep(0)
    assert bench.keeper.hot == ("a",)
    bench.keeper.unpin("a")
    await bench.settled()
    assert bench.keeper.hot == ("b",)


async def test_a_model_wanted_again_before_it_left_just_stays(start: Start) -> None:
    bench = start(100, 100)
    bench.want("a")
    await bench.settled()
    bench.keeper.pin("a")
    bench.want("b")
    bench.want("a")
    bench.keeper.unpin("a")
    await bench.settled()
    assert bench.loads == [("a", Place.COLD)]


async def test_what_does_not_fit_vram_is_refused_and_the_rest_served(start: Start) -> None:
    bench = start(24, 100)
    bench.want("a", "b")
    await bench.settled()
    assert bench.keeper.hot == ("a",)
    assert "VRAM" in bench.keeper.failed["b"].message


async def test_what_does_not_fit_host_memory_is_dropped(start: Start) -> None:
    bench = start(100, 10)
    bench.want("a", "b")
    await bench.settled()
    bench.want("c", warm=("a", "b"))
    await bench.settled()
    assert (bench.keeper.hot, bench.keeper.warm) == (("c",), ("a",))
    assert "host memory" in bench.keeper.failed["b"].message


async def test_a_failed_load_is_tried_again_after_a_while(start: Start) -> None:
    bench = start(100, 100)
    bench.broken.add("a")
    bench.want("a", "b")
    await bench.settled()
    assert set(bench.keeper.failed) == {"a"}
    assert bench.keeper.hot == ("b",)
    bench.broken.clear()
    bench.clock.seconds += RETRY_FAILED_SECONDS
    bench.keeper.pin("b")
    bench.keeper.unpin("b")  # wakes the keeper, which then sees what time it is
    await wait_until(lambda: set(bench.keeper.hot) == {"a", "b"})
    assert bench.keeper.failed == {}


async def test_a_new_assignment_tries_a_failed_load_again_at_once(start: Start) -> None:
    bench = start(100, 100)
    bench.broken.add("a")
    bench.want("a")
    await bench.settled()
    bench.broken.clear()
    bench.want("a", again=True)
    await bench.settled()
    assert not bench.keeper.hot
    bench.want("a")
    await bench.settled()
    assert bench.keeper.hot == ("a",)


async def test_a_model_missing_from_the_catalog_comes_with_the_next_catalog(start: Start) -> None:
    bench = start(100, 100)
    bench.want("new")
    await bench.settled()
    assert "catalog" in bench.keeper.failed["new"].message
    bench.want("new", catalog=offered("new"), again=True)
    await wait_until(lambda: bench.keeper.hot == ("new",))


async def test_a_new_revision_replaces_the_old_one(start: Start) -> None:
    bench = start(100, 100)
    bench.want("a")
    await bench.settled()
    bench.want("a", catalog=offered("a", revision="2"), again=True)
    assert not bench.keeper.serving
    await wait_until(lambda: bench.keeper.serving == ("a",))
    assert len(bench.loads) == 2


async def test_a_device_that_fails_in_a_load_ends_the_keeper(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = start(100, 100)

    def fail(*_: object) -> Resident:
        raise DeviceFailed("gone")

    monkeypatch.setattr(bench.engine, "load", fail)
    bench.want("a")
    with pytest.raises(DeviceFailed):
        await bench.task


async def test_an_older_revision_serves_on_until_it_may_stay_no_longer(start: Start) -> None:
    bench = start(100, 100)
    bench.want("a")
    await bench.settled()
    newer, assigned = offered("a", revision="2"), Assignment(epoch=1, version=1, hot=("a",))
    bench.keeper.want(assigned, newer, {"a": "1"})
    await bench.settled()
    assert (bench.keeper.serving, bench.keeper.revisions) == (("a",), {"a": "1"})
    bench.keeper.want(assigned, newer)
    await wait_until(lambda: bench.keeper.revisions == {"a": "2"})
    assert bench.keeper.serving == ("a",)


async def test_a_model_that_was_loaded_in_vain_is_evicted_at_once(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = start(15, 100)
    evicted: list[SimulatedResident] = []

    def fail(_: object) -> None:
        raise OutOfMemory("the device is full")

    def note(resident: SimulatedResident) -> None:
        evicted.append(resident)

    monkeypatch.setattr(SimulatedResident, "to_hot", fail)
    monkeypatch.setattr(SimulatedResident, "evict", note)
    bench.want("a")
    await wait_until(lambda: "a" in bench.keeper.failed)
    assert len(evicted) == 1


@pytest.mark.parametrize("error", [EngineError("stuck"), OutOfMemory("pinned memory")])
async def test_a_model_that_cannot_be_cooled_is_evicted_and_comes_back_from_disk(
    start: Start, monkeypatch: pytest.MonkeyPatch, error: EngineError
) -> None:
    bench = start(15, 100)
    bench.want("a")
    await bench.settled()

    def fail(_: object) -> None:
        raise error

    with monkeypatch.context() as broken:
        broken.setattr(SimulatedResident, "to_warm", fail)
        bench.want("b", warm=("a",))
        await bench.settled()
    assert (bench.keeper.hot, bench.keeper.warm, set(bench.keeper.failed)) == (("b",), (), {"a"})
    assert bench.engine.device_memory_used() == bench.keeper.weights(Place.HOT) == 10 * MEBI
    bench.want("a")
    await bench.settled()
    assert (bench.keeper.hot, bench.keeper.failed) == (("a",), {})
    assert bench.loads[-1] == ("a", Place.COLD)


async def test_a_model_that_can_neither_be_cooled_nor_evicted_is_held_no_longer(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = start(100, 100)
    bench.want("a")
    await bench.settled()

    def fail(_: object) -> None:
        raise EngineError("stuck")

    monkeypatch.setattr(SimulatedResident, "to_warm", fail)
    monkeypatch.setattr(SimulatedResident, "evict", fail)
    bench.want(warm=("a",))
    await bench.settled()
    assert (bench.keeper.hot, bench.keeper.warm) == ((), ())
    assert "stuck" in bench.keeper.failed["a"].message
