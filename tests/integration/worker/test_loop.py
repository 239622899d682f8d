"""A worker with a simulated engine against a real queue."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from modelpool.errors import DeviceFailed, QueueUnavailable
from modelpool.jobs import Durations, JobEvent, JobRequest, JobState
from modelpool.queue.port import Batch
from modelpool.store.memory import MemoryStore
from modelpool_worker import delivery
from modelpool_worker.engines.simulated import SimulatedEngine
from modelpool_worker.running import LEASE_MS
from modelpool_worker.timings import Timings
from support import wait_until
from support.waiting import PATIENCE_SECONDS
from support.worker import MEBI, SLOT, Pool, model, running


async def keys(pool: Pool) -> list[str]:
    return [found.key async for found in pool.store.list("results")]


async def test_a_job_becomes_a_picture_in_the_store(pool: Pool, engine: SimulatedEngine) -> None:
    await pool.offer(model("flat"))
    await pool.assign("flat")
    async with running(pool, engine) as at_work:
        record = await pool.ended(await pool.ask("flat", width=32, height=48, seed=7))
        assert record.result is not None
        assert record.result.worker == at_work.worker.slot.worker
    assert record.state is JobState.SUCCEEDED
    assert (record.result.slot, record.result.seed, record.result.batch_size) == (SLOT, 7, 1)
    data = await pool.store.get(record.result.key)
    assert Image.open(io.BytesIO(data)).size == (record.result.width, record.result.height) == (32, 48)
    assert record.result.size == len(data)
    assert record.started_at is not None
    assert record.started_at <= (record.result.stored_at or 0) <= (record.finished_at or 0) + 50  # two clocks, rounded


async def test_the_same_job_again_is_answered_with_the_same_file(pool: Pool, engine: SimulatedEngine) -> None:
    await pool.offer(model("flat"))
    await pool.assign("flat")
    async with running(pool, engine):
        first = await pool.ended(await pool.ask("flat", seed=7))
    again = await pool.ended(await pool.ask("flat", seed=7))
    assert (again.cached, again.result) == (True, first.result)


async def test_what_another_engine_made_does_not_pass_for_what_was_asked_for(pool: Pool) -> None:
    await pool.offer(model("flat"))
    await pool.assign("flat")
    older = SimulatedEngine()
    older.version = "simulated-0"
    async with running(pool, older):
        assert (await pool.until(lambda beat: beat.hot == ("flat",))).engine == "simulated-0"
        await pool.ended(await pool.ask("flat", seed=7))
        assert not (await pool.ended(await pool.ask("flat", seed=7))).cached


async def test_what_an_older_revision_made_does_not_pass_for_the_new_one(pool: Pool, engine: SimulatedEngine) -> None:
    await pool.offer(model("flat"))
    await pool.assign("flat")
    async with running(pool, engine):
        for _ in range(2):  # as while this slot has not had its turn to load revision 2
            assert not (await pool.ended(await pool.ask("flat", seed=7, revision="2"))).cached
        assert (await pool.ended(await pool.ask("flat", seed=7, revision="1"))).cached


async def test_jobs_of_one_key_share_a_batch_up_to_the_cap(pool: Pool, engine: SimulatedEngine) -> None:
    await pool.offer(model("flat", batch=3))
    await pool.assign("flat")
    jobs = [await pool.ask("flat") for _ in range(7)]
    async with running(pool, engine):
        sizes = [(await pool.ended(job)).result.batch_size for job in jobs]  # type: ignore[union-attr]
    assert sizes == [3, 3, 3, 3, 3, 3, 1]
    assert engine.batches == [("flat", 3), ("flat", 3), ("flat", 1)]


async def test_jobs_that_differ_in_a_parameter_run_apart(pool: Pool, engine: SimulatedEngine) -> None:
    await pool.offer(model("flat"))
    await pool.assign("flat")
    jobs = [await pool.ask("flat", steps=steps) for steps in (2, 3, 2)]
    async with running(pool, engine):
        for job in jobs:
            await pool.ended(job)
    assert sorted(size for _, size in engine.batches) == [1, 2]


async def test_an_engine_that_mixes_gets_jobs_that_differ_in_a_parameter_together(
    pool: Pool, engine: SimulatedEngine
) -> None:
    engine.mixes = True
    await pool.queue.claim("worker", "slot", [], mixes=True)  # it has been there before
    await pool.offer(model("flat"))
    await pool.assign("flat")
    jobs = [await pool.ask("flat", steps=steps) for steps in (2, 3, 2)]
    async with running(pool, engine):
        for job in jobs:
            await pool.ended(job)
    assert engine.batches == [("flat", 3)]


async def test_waiting_for_a_load_is_told_apart_from_waiting_in_line(pool: Pool) -> None:
    loads = asyncio.Event()
    loop = asyncio.get_running_loop()

    def sleep(seconds: float) -> None:
        asyncio.run_coroutine_threadsafe(loads.wait(), loop).result()

    engine = SimulatedEngine(Timings(load=1), sleep)
    await pool.offer(model("flat"))
    await pool.assign("flat")
    async with running(pool, engine):
        await pool.until(lambda beat: beat.loading is not None)
        job = await pool.ask("flat")
        await asyncio.sleep(0.05)
        loads.set()
        record = await pool.ended(job)
    assert record.result is not None
    durations = record.result.durations
    assert 40 <= durations.loaded <= durations.waited
    assert durations.ran >= durations.computed


async def test_progress_is_told_step_by_step(pool: Pool, engine: SimulatedEngine) -> None:
    await pool.offer(model("flat"))
    await pool.assign("flat")
    told: dict[str, list[JobEvent]] = {}

    async def listen() -> None:
        async for event in pool.queue.events():
            if event.step is not None:
                told.setdefault(event.job, []).append(event)

    listener = asyncio.create_task(listen())
    async with running(pool, engine):
        await pool.until(lambda beat: "flat" in beat.hot)
        await pool.ended(await pool.ask("flat"))  # the listener certainly stands by now
        engine.gate.clear()
        job = await pool.ask("flat", steps=4)
        await wait_until(lambda: len(engine.batches) == 2)
        engine.gate.set()
        await pool.ended(job)
    listener.cancel()
    steps = told[job]
    assert [event.step for event in steps] == sorted({event.step for event in steps if event.step})
    assert all(event.state is JobState.RUNNING and event.steps == 4 for event in steps)


async def test_a_batch_stops_early_when_all_its_members_are_cancelled(pool: Pool, engine: SimulatedEngine) -> None:
    await pool.offer(model("flat"))
    await pool.assign("flat")
    engine.gate.clear()
    jobs = [await pool.ask("flat", steps=1000) for _ in range(2)]
    async with running(pool, engine) as at_work:
        await wait_until(lambda: engine.batches)
        for job in jobs:
            await pool.queue.cancel(job)
        await wait_until(lambda: all(run.should_stop() for run in at_work.worker.loop.runs))
        engine.gate.set()
        record = await pool.ended(await pool.ask("flat"))
    assert record.state is JobState.SUCCEEDED
    assert await keys(pool) == [record.result.key]  # type: ignore[union-attr]


async def test_a_cancelled_member_is_discarded_and_the_others_finish(pool: Pool, engine: SimulatedEngine) -> None:
    await pool.offer(model("flat"))
    await pool.assign("flat")
    engine.gate.clear()
    cancelled, kept = await pool.ask("flat"), await pool.ask("flat")
    async with running(pool, engine):
        await wait_until(lambda: engine.batches)
        await pool.queue.cancel(cancelled)
        engine.gate.set()
        record = await pool.ended(kept)
        assert (await pool.ended(cancelled)).state is JobState.CANCELLED
    assert record.state is JobState.SUCCEEDED
    assert await keys(pool) == [record.result.key]  # type: ignore[union-attr]


async def test_a_failure_in_company_is_tried_alone(pool: Pool, engine: SimulatedEngine) -> None:
    await pool.offer(model("flat"))
    await pool.assign("flat")
    bad, good = await pool.ask("flat", "[fail]"), await pool.ask("flat")
    async with running(pool, engine):
        assert (await pool.ended(good)).state is JobState.SUCCEEDED
        record = await pool.ended(bad)
    assert record.state is JobState.FAILED
    assert record.error is not None
    assert record.error.code == "engine_error"
    assert record.attempts == 3
    assert engine.batches[0] == ("flat", 2)


async def test_what_no_retry_can_mend_fails_at_once(pool: Pool, engine: SimulatedEngine) -> None:
    await pool.offer(model("flat"))
    await pool.assign("flat")
    bad, good = await pool.ask("flat", "[unusable]"), await pool.ask("flat")
    async with running(pool, engine):
        records = [await pool.ended(bad), await pool.ended(good)]
    assert [record.state for record in records] == [JobState.FAILED, JobState.SUCCEEDED]
    assert engine.batches == [("flat", 2)]


async def test_one_bad_picture_costs_its_neighbours_nothing(pool: Pool, engine: SimulatedEngine) -> None:
    await pool.offer(model("flat"))
    await pool.assign("flat")
    bad, good = await pool.ask("flat", "[nan]"), await pool.ask("flat")
    async with running(pool, engine):
        assert (await pool.ended(good)).state is JobState.SUCCEEDED
        assert (await pool.ended(bad)).state is JobState.FAILED
    assert engine.batches == [("flat", 2), ("flat", 1), ("flat", 1), ("flat", 1)]


async def test_a_batch_that_does_not_fit_is_halved_and_the_cap_remembered(pool: Pool, engine: SimulatedEngine) -> None:
    await pool.offer(model("flat"))
    await pool.assign("flat")
    jobs = [await pool.ask("flat", "[oom:3]") for _ in range(8)]
    async with running(pool, engine):
        records = [await pool.ended(job) for job in jobs]
        assert all(record.state is JobState.SUCCEEDED and record.attempts == 0 for record in records)
        beat = await pool.until(lambda beat: "flat" in beat.measured and beat.measured["flat"].batch_cap == 2)
        assert beat.error is None
    assert [size for _, size in engine.batches] == [8, 4, 2, 2, 2, 2]


async def test_a_size_that_did_not_fit_is_run_in_parts_and_leaves_other_sizes_alone(
    pool: Pool, engine: SimulatedEngine
) -> None:
    await pool.offer(model("flat"))
    await pool.assign("flat")
    for _ in range(2):
        await pool.ask("flat")
    async with running(pool, engine):
        for job in pool.jobs:
            await pool.ended(job)
        engine.gate.clear()
        held = await pool.ask("flat", width=32)
        await pool.until(lambda beat: beat.batch is not None)
        jobs = [await pool.ask("flat", "[oom:3]", width=128) for _ in range(4)]
        jobs += [await pool.ask("flat") for _ in range(6)]
        engine.gate.set()
        for job in (held, *jobs):
            assert (await pool.ended(job)).state is JobState.SUCCEEDED
        assert (await pool.until(lambda beat: beat.batch is None)).measured["flat"].batch_cap == 8
    sizes = [size for _, size in engine.batches]
    assert sizes == [2, 1, 4, 2, 2, 6]


async def test_the_pace_is_the_same_however_far_a_picture_may_be_from_its_input(pool: Pool) -> None:
    image, key = io.BytesIO(), f"inputs/{'ab' * 32}.png"
    Image.new("RGB", (64, 64)).save(image, "PNG")
    await pool.store.put(key, image.getvalue())
    asked: dict[str, Any] = {"task": "ImageToImage", "input": key, "steps": 16}
    strengths = {"near": 0.25, "far": 1.0}
    await pool.offer(*(model(name) for name in strengths))
    await pool.assign(*strengths)
    async with running(pool, SimulatedEngine(Timings(step=0.02))):
        for name, strength in strengths.items():
            assert (await pool.ended(await pool.ask(name, strength=strength, **asked))).state is JobState.SUCCEEDED
        measured = (
            await pool.until(lambda beat: all(beat.measured[name].seconds_per_megapixel_step for name in strengths))
        ).measured
    near, far = (measured[name].seconds_per_megapixel_step for name in strengths)
    assert near is not None
    assert far is not None
    assert near.mean == pytest.approx(far.mean, rel=0.5)


async def test_a_missing_input_image_fails_its_job_only(pool: Pool, engine: SimulatedEngine) -> None:
    await pool.offer(model("flat"))
    await pool.assign("flat")
    key = f"inputs/{'ab' * 32}.png"
    bad = await pool.ask("flat", task="ImageToImage", input=key)
    async with running(pool, engine):
        record = await pool.ended(bad)
    assert record.error is not None
    assert record.error.code == "unusable_job"
    assert "input image" in record.error.message


async def test_an_input_that_breaks_in_an_unforeseen_way_uses_up_the_attempts_of_its_job_only(
    pool: Pool, engine: SimulatedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_: object, request: JobRequest) -> None:
        if request.prompt == "bad":
            raise RuntimeError("nobody thought of this")

    monkeypatch.setattr(delivery.Delivery, "input_of", broken)
    await pool.offer(model("flat"))
    await pool.assign("flat")
    bad, good = await pool.ask("flat", "bad"), await pool.ask("flat")
    async with running(pool, engine):
        assert (await pool.ended(good)).state is JobState.SUCCEEDED
        record = await pool.ended(bad)
        assert (await pool.ended(await pool.ask("flat"))).state is JobState.SUCCEEDED
    assert (record.state, record.attempts) == (JobState.FAILED, 3)


async def test_a_pass_that_breaks_in_an_unforeseen_way_ends_its_job_and_not_the_worker(
    pool: Pool, engine: SimulatedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise RuntimeError("nobody thought of this")

    monkeypatch.setattr(engine, "free_cache", broken)
    await pool.offer(model("flat"))
    await pool.assign("flat")
    async with running(pool, engine):
        record = await pool.ended(await pool.ask("flat", "[oom:1]"))
        assert (await pool.ended(await pool.ask("flat"))).state is JobState.SUCCEEDED
    assert (record.state, record.attempts) == (JobState.FAILED, 3)


async def test_a_delivery_that_breaks_in_an_unforeseen_way_ends_its_job_all_the_same(
    pool: Pool, engine: SimulatedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> Durations:
        raise AttributeError("nobody thought of this")

    monkeypatch.setattr(delivery, "durations_of", broken)
    await pool.offer(model("flat"))
    await pool.assign("flat")
    async with running(pool, engine):
        record = await pool.ended(await pool.ask("flat"))
    assert record.state is JobState.FAILED
    assert record.error is not None
    assert "could not be delivered" in record.error.message


async def test_a_zombie_delivers_nothing(pool: Pool, engine: SimulatedEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    await pool.offer(model("flat"))
    await pool.assign("flat")
    job = await pool.ask("flat")

    async def lost(*_: object) -> bool:
        return False

    monkeypatch.setattr(pool.queue, "finish", lost)
    async with running(pool, engine) as at_work:
        await wait_until(lambda: engine.batches and not at_work.worker.loop.runs)
    assert (await pool.queue.get(job)).state is JobState.RUNNING
    assert await keys(pool) == []


class LosesTheFirstBatch:
    """The queue's claim, whose first reply with jobs in it never arrives. ``meanwhile`` happens then."""

    def __init__(self, pool: Pool, meanwhile: Callable[[], Awaitable[object]]) -> None:
        self.lost: Batch | None = None
        self._claim = pool.queue.claim
        self._meanwhile = meanwhile

    async def __call__(self, *args: Any, **options: Any) -> Batch | None:
        batch = await self._claim(*args, **options)
        if batch is None or self.lost is not None:
            return batch
        self.lost = batch
        await self._meanwhile()
        raise QueueUnavailable("the reply was lost")


async def nothing() -> None:
    """Happens."""


async def test_a_batch_whose_claim_was_never_answered_is_claimed_again_at_once(
    pool: Pool, engine: SimulatedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = LosesTheFirstBatch(pool, lambda: pool.ask("flat"))
    monkeypatch.setattr(pool.queue, "claim", claim)
    await pool.offer(model("flat"))
    await pool.assign("flat")
    first = await pool.ask("flat")
    async with running(pool, engine):
        record = await pool.ended(first)
        later = await pool.ended(pool.jobs[1])
    assert claim.lost is not None
    assert (record.state, record.attempts, record.failures) == (JobState.SUCCEEDED, 0, ())
    assert later.state is JobState.SUCCEEDED, "the next claim is another one"
    assert engine.batches == [("flat", 1), ("flat", 1)]


async def test_a_batch_of_an_unanswered_claim_is_given_back_when_its_model_has_left(
    pool: Pool, engine: SimulatedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await pool.offer(model("flat"), model("other"))
    await pool.assign("flat")
    job = await pool.ask("flat")
    async with running(pool, engine) as at_work:

        async def reassigned() -> None:
            await pool.assign("other")
            await wait_until(lambda: "flat" not in at_work.worker.keeper.serving)

        claim = LosesTheFirstBatch(pool, reassigned)
        monkeypatch.setattr(pool.queue, "claim", claim)

        async def given_back() -> bool:
            return claim.lost is not None and (await pool.queue.get(job)).state is JobState.QUEUED

        await wait_until(given_back)
    record = await pool.queue.get(job)
    assert (record.attempts, record.solo, engine.batches) == (0, False, [])


async def test_what_an_unanswered_claim_has_brought_is_given_back_when_a_drain_begins(
    pool: Pool, engine: SimulatedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await pool.offer(model("flat"))
    await pool.assign("flat")
    job = await pool.ask("flat")
    async with running(pool, engine) as at_work:

        async def told_to_end() -> None:
            at_work.stop.set()
            await wait_until(lambda: at_work.worker.slot.draining)

        claim = LosesTheFirstBatch(pool, told_to_end)
        monkeypatch.setattr(pool.queue, "claim", claim)
        later = await pool.ask("flat", steps=3)
        await at_work.task
    assert claim.lost is not None
    for record in (await pool.queue.get(job), await pool.queue.get(later)):
        assert (record.state, record.attempts, record.solo) == (JobState.QUEUED, 0, False)
    assert engine.batches == []


async def test_a_drain_that_begins_in_the_pause_after_a_lost_claim_gives_back_what_it_brought(
    pool: Pool, engine: SimulatedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelpool_worker.loop.delay_after", lambda _: 3600.0)
    await pool.offer(model("flat"))
    await pool.assign("flat")
    job = await pool.ask("flat")
    claim = LosesTheFirstBatch(pool, nothing)
    monkeypatch.setattr(pool.queue, "claim", claim)
    async with running(pool, engine) as at_work:
        await wait_until(lambda: claim.lost)
        at_work.stop.set()
        await at_work.task
    record = await pool.queue.get(job)
    assert (record.state, record.attempts, engine.batches) == (JobState.QUEUED, 0, [])


async def test_draining_finishes_the_running_batch_and_gives_back_the_next(pool: Pool, engine: SimulatedEngine) -> None:
    await pool.offer(model("flat", batch=1))
    await pool.assign("flat")
    engine.gate.clear()
    first, second = await pool.ask("flat", steps=3), await pool.ask("flat", steps=3)
    async with running(pool, engine) as at_work:
        await wait_until(lambda: engine.batches)
        at_work.stop.set()
        await pool.until(lambda beat: beat.draining)
        engine.gate.set()
        await at_work.task
    assert (await pool.queue.get(first)).state is JobState.SUCCEEDED
    waiting = await pool.queue.get(second)
    assert (waiting.state, waiting.attempts, waiting.solo) == (JobState.QUEUED, 0, False)


async def test_draining_ends_fetching_for_a_batch_that_is_given_back(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetching, left = asyncio.Event(), asyncio.Event()

    async def input_of(_: object, request: JobRequest) -> None:
        if request.prompt == "slow":
            fetching.set()
            try:
                await asyncio.Event().wait()
            finally:
                left.set()

    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:  # near its end, when the next batch has been claimed
            engine.gate.clear()

    engine = SimulatedEngine(Timings(step=0.001), sleep)
    monkeypatch.setattr(delivery.Delivery, "input_of", input_of)
    await pool.offer(model("flat", batch=1))
    await pool.assign("flat")
    first, second = await pool.ask("flat", steps=2), await pool.ask("flat", "slow", steps=2)
    async with running(pool, engine) as at_work:
        await asyncio.wait_for(fetching.wait(), PATIENCE_SECONDS)
        at_work.stop.set()
        await asyncio.wait_for(left.wait(), PATIENCE_SECONDS)
        engine.gate.set()
        await at_work.task
    assert (await pool.queue.get(first)).state is JobState.SUCCEEDED
    assert (await pool.queue.get(second)).state is JobState.QUEUED


async def test_when_the_grace_period_ends_the_batch_is_given_back(pool: Pool, engine: SimulatedEngine) -> None:
    await pool.offer(model("flat"))
    await pool.assign("flat")
    engine.gate.clear()
    job = await pool.ask("flat", steps=1000)
    async with running(pool, engine, grace=0.05) as at_work:
        await wait_until(lambda: engine.batches)
        at_work.stop.set()

        async def given_back() -> bool:
            return (await pool.queue.get(job)).state is JobState.QUEUED

        await wait_until(given_back)
        engine.gate.set()
        await at_work.task
    record = await pool.queue.get(job)
    assert (record.state, record.attempts, record.solo) == (JobState.QUEUED, 0, False)
    assert len(engine.batches) == 1


async def test_a_failed_device_ends_the_worker_and_says_why(pool: Pool, engine: SimulatedEngine) -> None:
    await pool.offer(model("flat"))
    await pool.assign("flat")
    async with running(pool, engine) as at_work:
        job = await pool.ask("flat", "[device]")
        with pytest.raises(DeviceFailed):
            await at_work.task
        beat = await pool.heartbeat()
    assert beat is not None
    assert beat.error is not None
    assert (beat.error.code, beat.error.model) == ("device_failed", "flat")
    record = await pool.queue.get(job)
    assert (record.state, record.attempts) == (JobState.QUEUED, 1)


async def test_the_slot_follows_its_assignment(pool: Pool, engine: SimulatedEngine) -> None:
    await pool.offer(model("a"), model("b"), model("c"))
    await pool.assign("a", "b")
    async with running(pool, engine):
        await pool.until(lambda beat: set(beat.hot) == {"a", "b"} and beat.version == 1)
        await pool.assign("c", warm=("b",))
        beat = await pool.until(lambda beat: beat.version == 2)
        assert (beat.hot, beat.warm) == (("c",), ("b",))
        await pool.assign("b")
        beat = await pool.until(lambda beat: beat.version == 3)
        assert beat.hot == ("b",)
        assert beat.measured["b"].warm_to_hot_seconds is not None


async def test_an_eviction_waits_for_the_running_batch(pool: Pool, engine: SimulatedEngine) -> None:
    await pool.offer(model("a"), model("b"))
    await pool.assign("a")
    engine.gate.clear()
    async with running(pool, engine) as at_work:
        job, later = await pool.ask("a"), await pool.ask("a", steps=7)
        await wait_until(lambda: engine.batches)
        await pool.assign("b")
        await wait_until(lambda: not at_work.worker.keeper.serving)
        engine.gate.set()
        assert (await pool.ended(job)).state is JobState.SUCCEEDED
        await pool.until(lambda beat: beat.hot == ("b",))
        assert (await pool.queue.get(later)).state is JobState.QUEUED, "nothing is claimed for a model that must leave"


async def test_a_model_that_cannot_be_loaded_harms_no_other(pool: Pool) -> None:
    engine = SimulatedEngine(Timings(fail_loads=frozenset({"broken"})))
    await pool.offer(model("broken"), model("flat"))
    await pool.assign("broken", "flat", "unknown")
    async with running(pool, engine):
        assert (await pool.ended(await pool.ask("flat"))).state is JobState.SUCCEEDED
        beat = await pool.until(lambda beat: beat.version == 1)
    assert beat.hot == ("flat",)
    assert {name: failure.code for name, failure in beat.failed.items()} == {
        "broken": "model_load_failed",
        "unknown": "model_load_failed",
    }


async def test_a_model_larger_than_the_slot_is_refused(pool: Pool, engine: SimulatedEngine) -> None:
    await pool.offer(model("large", weights=200 * MEBI), model("flat"))
    await pool.assign("large", "flat")
    async with running(pool, engine, vram=100 * MEBI):
        beat = await pool.until(lambda beat: beat.version == 1)
    assert beat.hot == ("flat",)
    assert "VRAM" in beat.failed["large"].message


async def test_probes_and_metrics_answer(pool: Pool, engine: SimulatedEngine) -> None:
    await pool.offer(model("flat"))
    async with running(pool, engine):
        url = (await pool.until(lambda beat: bool(beat.http))).http
        async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
            assert (await http.get("/healthz")).status_code == 200
            assert (await http.get("/readyz")).status_code == 503
            await pool.assign("flat")
            await pool.until(lambda beat: beat.version == 1)
            assert (await http.get("/readyz")).status_code == 200
            await pool.ended(await pool.ask("flat"))
            assert (await http.get("/nothing")).status_code == 404
            text = (await http.get("/metrics")).text
    samples = {
        (sample.name, sample.labels.get("model")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.labels.get("model") == "flat"
    }
    assert samples["modelpool_batch_size_count", "flat"] == 1
    assert samples["modelpool_queue_wait_seconds_count", "flat"] == 1
    assert samples["modelpool_load_seconds_count", "flat"] == 1


async def test_the_lease_outlives_a_long_batch(pool: Pool, engine: SimulatedEngine) -> None:
    now = 1_000_000_000
    pool.queue._run.now = lambda: now
    await pool.offer(model("flat"))
    await pool.assign("flat")
    engine.gate.clear()
    job = await pool.ask("flat")
    async with running(pool, engine) as at_work:
        await wait_until(lambda: engine.batches)
        [run] = at_work.worker.loop.runs
        now += LEASE_MS - 1_000
        renewal = await pool.queue.renew(run.batch.lease, [job], LEASE_MS)
        assert renewal.held == {job}
        now += LEASE_MS - 1_000
        assert await pool.queue.reap() == 0
        engine.gate.set()
        assert (await pool.ended(job)).state is JobState.SUCCEEDED


async def test_two_workers_share_one_queue(pool: Pool) -> None:
    engines = [SimulatedEngine(), SimulatedEngine()]
    slots = ("test-primary-0", "test-primary-1")
    await pool.offer(model("flat", batch=1))
    for slot in slots:
        await pool.assign("flat", slot=slot)
    async with running(pool, engines[0], slot=slots[0]), running(pool, engines[1], slot=slots[1]):
        jobs = [await pool.ask("flat") for _ in range(20)]
        records = [await pool.ended(job) for job in jobs]
    assert all(record.state is JobState.SUCCEEDED for record in records)
    assert sum(len(engine.batches) for engine in engines) == 20
    assert isinstance(pool.store, MemoryStore)
    assert len(await keys(pool)) == 20
