"""The whole loop on real Redis servers: workers that pretend, everything else as in life."""

import asyncio
import statistics
import time
from contextlib import aclosing
from pathlib import Path

import pytest

from modelpool.errors import StaleEpoch
from modelpool.jobs import JobState, Lane
from modelpool.queue.connection import connect
from modelpool.slots import SlotPhase
from support import RedisProcess, bundled_redis, wait_until
from support.operator_stage import POOL_FILE, Stage
from support.waiting import PATIENCE_SECONDS

SMALLER_POOL_FILE = POOL_FILE.replace("    policy: Always\n    slots: 2", "    policy: Always\n    slots: 1")
ROTATING = ["outline", "neon", "mosaic", "woodcut"]
FILLED = {
    "studio-primary-0": ("flat",),
    "studio-primary-1": ("flat",),
    "studio-secondary-0": ("outline",),
    "studio-secondary-1": ("neon",),
    "studio-video-0": (),
}


async def until_filled(stage: Stage) -> None:
    await wait_until(stage.is_condition("Ready", "True", "Serving"))
    await wait_until(lambda: _is(stage, FILLED))


async def _is(stage: Stage, wanted: dict[str, tuple[str, ...]]) -> bool:
    return await stage.hot() == wanted


async def all_done(stage: Stage, jobs: list[str]) -> bool:
    return {(await stage.queue.get(job)).state for job in jobs} == {JobState.SUCCEEDED}


async def acted_on(stage: Stage, generation: int, *, slots: int) -> bool:
    status = await stage.board.status()
    return status is not None and (status.observed_generation, status.slots) == (generation, slots)


async def versions(stage: Stage) -> dict[str, int]:
    return {slot: found.version for slot, found in (await stage.board.assignments(stage.slots())).items()}


async def test_a_pool_comes_up_with_its_always_tier_hot_and_its_rotate_tier_filled(stage: Stage) -> None:
    async with stage.operator(), stage.all_workers():
        await until_filled(stage)
        catalog = await stage.board.catalog()
        assert catalog is not None
        assert [model.name for model in catalog.models] == ["flat", *ROTATING, "motion"]
        status = await stage.board.status()
        assert status is not None
        assert (status.slots, status.ready_slots, status.observed_generation) == (5, 5, 1)
        await wait_until(stage.is_condition("Progressing", "False", "AtRest"))
        await wait_until(stage.is_condition("DemandSourceAvailable", "True", "Available"))
        assert await stage.condition("Degraded") == ("False", "AsExpected", "Nothing stands in the way.")
        desired = stage.runtime.desired
        assert desired is not None
        assert [slot.slot for slot in desired.slots] == stage.slots()


async def test_more_models_than_slots_take_turns_until_all_is_served(stage: Stage) -> None:
    async with stage.operator(), stage.all_workers() as workers:
        await until_filled(stage)
        jobs = [await stage.ask(model) for _ in range(10) for model in (*ROTATING, "motion", "flat")]
        await wait_until(lambda: all_done(stage, jobs))
        served = {model for worker in workers.values() for model in worker.served}
        assert served == {*ROTATING, "motion", "flat"}
        assert all(set(workers[f"studio-primary-{i}"].loads) == {"flat"} for i in range(2))
        # Nobody's queue is served in many small visits: that would be a thrash.
        assert sum(len(workers[f"studio-secondary-{i}"].loads) for i in range(2)) <= 12


async def test_a_miss_is_answered_within_a_tenth_of_a_second(stage: Stage) -> None:
    """From the job's arrival to the worker's bell; the median of three, as the machine has other things to do."""
    took = []
    async with stage.operator(), stage.all_workers():
        await until_filled(stage)
        for model in ("motion", "mosaic", "woodcut"):
            async with aclosing(stage.client.pubsub()) as bells:
                await bells.psubscribe(stage.board.keys.bell("studio-*"))
                await bells.get_message(timeout=PATIENCE_SECONDS)
                began = time.perf_counter()
                await stage.ask(model)
                assert await bells.get_message(ignore_subscribe_messages=True, timeout=PATIENCE_SECONDS) is not None
                took.append(time.perf_counter() - began)
    assert statistics.median(took) < 0.1


async def test_a_restarted_operator_moves_nothing(stage: Stage) -> None:
    async with stage.all_workers():
        async with stage.operator():
            await until_filled(stage)
            await wait_until(lambda: all_done_now(stage))
        before = await versions(stage)
        async with stage.operator():
            status = await stage.board.status()
            assert status is not None
            await wait_until(lambda: _epoch_is(stage, status.epoch + 1))
            assert await versions(stage) == before
            assert {a.epoch for a in (await stage.board.assignments(stage.slots())).values()} == {status.epoch + 1}


async def all_done_now(stage: Stage) -> bool:
    return (await stage.condition("Progressing"))[0] == "False"


async def _epoch_is(stage: Stage, epoch: int) -> bool:
    status = await stage.board.status()
    return status is not None and status.epoch == epoch


async def test_of_two_operators_the_older_stops_writing_and_ends(stage: Stage) -> None:
    async with stage.all_workers(), stage.operator() as older:
        await until_filled(stage)
        async with stage.operator():
            # Whoever writes next is the newer one, or the older one finds out that it is the older.
            await stage.ask("motion")
            with pytest.raises(ExceptionGroup) as ended:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await older
            assert ended.group_contains(StaleEpoch)
            await wait_until(lambda: _is(stage, {**FILLED, "studio-video-0": ("motion",)}))


async def test_redis_may_lose_everything_and_nothing_moves(tmp_path: Path) -> None:
    file = tmp_path / "pool.yaml"
    file.write_text(POOL_FILE)
    with RedisProcess(bundled_redis(), tmp_path / "redis") as server:
        async with await connect(server.url) as client:
            stage = Stage(file, client)
            async with stage.operator(), stage.all_workers():
                await until_filled(stage)
                loads = {slot: list(worker.loads) for slot, worker in stage.workers.items()}
                server.kill()
                server.start()
                await wait_until(stage.board.catalog)
                await until_filled(stage)
                assert {slot: worker.loads for slot, worker in stage.workers.items()} == loads
                assert await versions(stage) == dict.fromkeys(stage.slots(), 1)


async def test_when_a_worker_dies_its_model_is_served_elsewhere_as_soon_as_somebody_asks(stage: Stage) -> None:
    async with stage.operator(), stage.all_workers() as workers:
        await until_filled(stage)
        stage.runtime.phases["studio-secondary-1"] = (SlotPhase.RESTARTING, "it ended with SIGKILL; back in 4 s")
        await workers["studio-secondary-1"].die()
        jobs = [await stage.ask("neon", Lane.PAID)]
        await wait_until(lambda: all_done(stage, jobs))
        await wait_until(stage.is_condition("Ready", "False", "SlotsNotReady"))
        await wait_until(stage.is_condition("Degraded", "True", "SlotFailed"))
        assert (await stage.condition("Degraded"))[2] == "studio-secondary-1: it ended with SIGKILL; back in 4 s"


async def test_a_model_that_cannot_be_loaded_is_reported_and_harms_no_other(stage: Stage) -> None:
    async with stage.operator(), stage.all_workers(broken=frozenset({"woodcut"})) as workers:
        await until_filled(stage)
        await stage.ask("woodcut")
        await wait_until(stage.is_condition("Degraded", "True", "LoadFailed"))
        assert (await stage.condition("Degraded"))[2] == "woodcut could not be loaded: no such folder"
        others = [await stage.ask(model) for model in ("outline", "neon", "mosaic", "motion", "flat")]
        await wait_until(lambda: all_done(stage, others))
        tried = sum(worker.loads.count("woodcut") for worker in workers.values())
        assert tried == 1
        status = await stage.board.status()
        assert status is not None
        assert [(m.state.value, m.last_failure) for m in status.models if m.name == "woodcut"] == [
            ("Failed", "no such folder")
        ]


async def test_a_broken_edit_changes_nothing_and_a_good_one_comes_into_force(stage: Stage) -> None:
    async with stage.operator(), stage.all_workers():
        await until_filled(stage)
        stage.file.write_text(POOL_FILE.replace("slots: 2", "slots: none"))
        await wait_until(stage.is_condition("Degraded", "True", "InvalidSpec"))
        assert "spec.tiers[0].slots: must be a whole number" in (await stage.condition("Degraded"))[2]
        assert len(stage.runtime.desired.slots if stage.runtime.desired else ()) == 5
        assert SMALLER_POOL_FILE != POOL_FILE
        stage.file.write_text(SMALLER_POOL_FILE)
        await wait_until(lambda: stage.runtime.desired is not None and len(stage.runtime.desired.slots) == 4)
        await wait_until(stage.is_condition("Degraded", "False", "AsExpected"))
        assert await stage.board.assignment("studio-primary-1") is None
        await wait_until(lambda: acted_on(stage, 2, slots=4))


async def test_a_change_counts_as_acted_on_only_when_the_workers_too_have_been_looked_at_for_it(stage: Stage) -> None:
    async with stage.operator(), stage.all_workers():
        await until_filled(stage)
        stage.runtime.away = True
        await wait_until(stage.is_condition("Degraded", "True", "RuntimeUnavailable"))
        stage.file.write_text(SMALLER_POOL_FILE)
        await wait_until(lambda: acted_on(stage, 1, slots=4))
        stage.runtime.away = False
        await wait_until(lambda: acted_on(stage, 2, slots=4))


async def test_without_its_runtime_the_operator_says_so_and_serves_on(stage: Stage) -> None:
    async with stage.operator(), stage.all_workers():
        await until_filled(stage)
        stage.runtime.away = True
        await wait_until(stage.is_condition("Degraded", "True", "RuntimeUnavailable"))
        jobs = [await stage.ask("motion")]
        await wait_until(lambda: all_done(stage, jobs))
        stage.runtime.away = False
        await wait_until(stage.is_condition("Degraded", "False", "AsExpected"))
