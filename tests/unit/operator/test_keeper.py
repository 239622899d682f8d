"""One reconciler for each pool: they come, go, fail and are refused, each without harm to the others."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from modelpool.errors import StaleEpoch
from modelpool.resources.pool import PoolRef
from modelpool.resources.status import ModelPoolStatus
from modelpool_operator import keeper as keeping
from modelpool_operator.cluster.port import Manifest
from modelpool_operator.keeper import Keeper
from modelpool_operator.planner import Move
from modelpool_operator.sources.resource import PoolResource
from modelpool_operator.tellers import Teller
from support import wait_until
from support.pool_specs import document
from support.waiting import PATIENCE_SECONDS

ART, MUSIC = PoolRef("art", "studio"), PoolRef("music", "studio")


class FakeReconciler:
    def __init__(self, source: PoolResource, ending: Callable[[], BaseException | None]) -> None:
        self.source = source
        self.ending = ending
        self.wakes = 0
        self.ended = False
        self.sick: str | None = None

    async def run(self) -> None:
        try:
            while True:
                error = self.ending()
                if error is not None:
                    raise error
                await asyncio.sleep(0.001)
        finally:
            self.ended = True

    def wake(self) -> None:
        self.wakes += 1

    def unhealthy(self) -> str | None:
        return self.sick


class FakeTeller:
    def __init__(self) -> None:
        self.told: list[ModelPoolStatus] = []

    async def run(self) -> None:
        await asyncio.Event().wait()

    def tell(self, status: ModelPoolStatus) -> None:
        self.told.append(status)

    def moved(self, move: Move) -> None:
        raise AssertionError("nothing moves here")


class Stage:
    """Pools as the cluster has them, and what was made for each."""

    def __init__(self) -> None:
        self.pools: dict[PoolRef, Manifest] = {}
        self.made: dict[PoolRef, list[FakeReconciler]] = {}
        self.tellers: dict[PoolRef, FakeTeller] = {}
        self.forgotten: list[PoolRef] = []
        self.endings: dict[PoolRef, list[BaseException]] = {}
        self.keeper = Keeper(lambda: self.pools, self, lambda: 1_000)

    def put(self, pool: PoolRef, generation: int = 1, uid: str = "u", **spec: Any) -> None:
        made = document(**spec)
        made["metadata"] = {"name": pool.name, "namespace": pool.namespace, "generation": generation, "uid": uid}
        self.pools[pool] = made
        self.keeper.notice(pool)

    def remove(self, pool: PoolRef) -> None:
        del self.pools[pool]
        self.keeper.notice(pool)

    def teller(self, pool: PoolRef, uid: str) -> FakeTeller:
        self.tellers[pool] = FakeTeller()
        return self.tellers[pool]

    def reconciler(self, source: PoolResource, teller: Teller) -> FakeReconciler:
        pool = PoolRef(source.pool.metadata.namespace, source.pool.metadata.name)
        endings = self.endings.setdefault(pool, [])
        made = FakeReconciler(source, lambda: endings.pop() if endings else None)
        self.made.setdefault(pool, []).append(made)
        return made

    async def forget(self, pool: PoolRef) -> None:
        self.forgotten.append(pool)

    def running(self) -> set[PoolRef]:
        return {pool for pool, made in self.made.items() if made and not made[-1].ended}

    async def until_running(self, *pools: PoolRef) -> None:
        await wait_until(lambda: self.running() == set(pools))


@asynccontextmanager
async def kept() -> AsyncIterator[tuple[Stage, "asyncio.Task[None]"]]:
    stage = Stage()
    task = asyncio.create_task(stage.keeper.run())
    try:
        yield stage, task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, BaseExceptionGroup):
            await task


async def test_each_pool_has_a_reconciler_until_it_is_gone_and_forgotten() -> None:
    async with kept() as (stage, _):
        stage.put(ART)
        stage.put(MUSIC)
        await stage.until_running(ART, MUSIC)
        stage.remove(ART)
        await stage.until_running(MUSIC)
        await wait_until(lambda: stage.forgotten == [ART])


async def test_a_pool_deleted_and_made_anew_is_another_pool() -> None:
    async with kept() as (stage, _):
        stage.put(ART, uid="first")
        await stage.until_running(ART)
        stage.put(ART, uid="second")
        await wait_until(lambda: len(stage.made[ART]) == 2)
        assert stage.made[ART][0].ended
        assert stage.made[ART][1].source.uid == "second"
        assert stage.forgotten == [ART]


async def test_news_of_a_pool_wake_its_reconciler_alone() -> None:
    async with kept() as (stage, _):
        stage.put(ART)
        stage.put(MUSIC)
        await stage.until_running(ART, MUSIC)
        stage.keeper.notice(ART)
        assert (stage.made[ART][0].wakes, stage.made[MUSIC][0].wakes) == (1, 0)


async def test_a_pool_that_cannot_work_is_told_so_and_kept_as_soon_as_it_can() -> None:
    async with kept() as (stage, _):
        stage.put(ART, gpu={"vram": "1Gi"})
        await wait_until(lambda: bool(stage.tellers.get(ART, FakeTeller()).told))
        told = stage.tellers[ART].told[0]
        assert [(c.type, c.status, c.reason) for c in told.conditions] == [
            ("Ready", "False", "InvalidSpec"),
            ("Degraded", "True", "InvalidSpec"),
        ]
        assert told.conditions[1].message.startswith(
            "The pool cannot work: art/studio: spec.tiers[0].models[0].weights"
        )
        assert stage.running() == set()
        stage.put(ART, generation=2)
        await stage.until_running(ART)


@pytest.mark.parametrize(("slots", "kept_slots", "kept_gpus"), [(1, 1, ["studio-primary-0"]), ("many", 0, [])])
async def test_what_was_said_of_the_slots_of_a_pool_that_cannot_work_any_more_is_kept_where_it_can_be_read(
    slots: object, kept_slots: int, kept_gpus: list[str]
) -> None:
    gpu = {"slot": "studio-primary-0", "tier": "primary", "phase": "Ready"}
    async with kept() as (stage, _):
        metadata = {"name": ART.name, "namespace": ART.namespace, "generation": 2, "uid": "u"}
        status = {"epoch": 7, "slots": slots, "gpus": [gpu]}
        stage.pools[ART] = {**document(gpu={"vram": "1Gi"}), "metadata": metadata, "status": status}
        stage.keeper.notice(ART)
        await wait_until(lambda: bool(stage.tellers.get(ART, FakeTeller()).told))
        told = stage.tellers[ART].told[0]
    assert (told.epoch, told.slots, [gpu.slot for gpu in told.gpus]) == (7, kept_slots, kept_gpus)
    assert told.conditions[0].reason == "InvalidSpec"


async def test_an_error_that_nobody_foresaw_starts_one_pool_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "RESTART_SECONDS", 0)
    async with kept() as (stage, task):
        stage.put(ART)
        stage.put(MUSIC)
        await stage.until_running(ART, MUSIC)
        stage.endings[ART].append(ZeroDivisionError())
        await wait_until(lambda: len(stage.made[ART]) == 2)
        stage.endings[ART].append(BaseExceptionGroup("as from a task group", [ZeroDivisionError()]))
        await wait_until(lambda: len(stage.made[ART]) == 3)
        assert not task.done()
        assert len(stage.made[MUSIC]) == 1


@pytest.mark.parametrize("grouped", [False, True])
async def test_a_newer_operator_ends_them_all(grouped: bool) -> None:
    async with kept() as (stage, task):
        stage.put(ART)
        stage.put(MUSIC)
        await stage.until_running(ART, MUSIC)
        error = StaleEpoch("there is a newer one")
        stage.endings[ART].append(BaseExceptionGroup("as from a task group", [error]) if grouped else error)
        with pytest.raises(BaseExceptionGroup) as ended:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await task
        assert ended.group_contains(StaleEpoch)
        assert stage.running() == set()


async def test_one_sick_pool_makes_the_process_unhealthy() -> None:
    async with kept() as (stage, _):
        stage.put(ART)
        await stage.until_running(ART)
        assert stage.keeper.unhealthy() is None
        stage.made[ART][0].sick = "no round for 31 s"
        assert stage.keeper.unhealthy() == "art/studio: no round for 31 s"


class SlowToGo(FakeTeller):
    async def run(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.2)


async def test_it_can_be_stopped_while_a_pool_is_being_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stage, "teller", lambda stage, pool, uid: SlowToGo())
    async with kept() as (stage, task):
        stage.put(ART)
        await wait_until(lambda: ART in stage.made)
        del stage.pools[ART]
        stage.keeper.notice(ART)
        await asyncio.sleep(0.05)
        task.cancel()
        done, _ = await asyncio.wait((task,), timeout=PATIENCE_SECONDS)
        assert done
