"""The status of the resource and its Events: what is written, when, and what happens when it cannot be."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from modelpool.resources.pool import PoolRef
from modelpool.resources.status import Condition, CostStatus, ModelPoolStatus, ModelState, ModelStatus
from modelpool_operator.cluster.fake import FakeCluster
from modelpool_operator.cluster.port import EVENT, MODEL_POOL, Manifest
from modelpool_operator.cluster.telling import ResourceTeller
from modelpool_operator.planner import Action, Move, Reason
from support import wait_until
from support.pool_specs import pool_object

POOL = PoolRef("art", "studio")


def degraded(reason: str | None = None) -> Condition:
    return Condition(
        type="Degraded",
        status="True" if reason else "False",
        reason=reason or "AsExpected",
        message=f"It is {reason}.",
        last_transition_time="2026-01-01T00:00:00Z",
    )


def status(at: int, queued: int = 0, reason: str | None = None, **more: object) -> ModelPoolStatus:
    model = ModelStatus(name="flat", tier="primary", state=ModelState.HOT, queued=queued)
    fields = {"epoch": 1, "queued": queued, "conditions": (degraded(reason),), "models": (model,), "updated_at": at}
    return ModelPoolStatus.model_validate({**fields, **more})


@asynccontextmanager
async def telling() -> AsyncIterator[tuple[FakeCluster, ResourceTeller]]:
    cluster = FakeCluster()
    made = await cluster.create(MODEL_POOL, pool_object())
    cluster.writes.clear()
    teller = ResourceTeller(POOL, made["metadata"]["uid"], cluster, "here", lambda: 1_000)
    task = asyncio.create_task(teller.run())
    try:
        yield cluster, teller
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def written(cluster: FakeCluster) -> Manifest:
    found = cluster.find(MODEL_POOL, "art", "studio")
    assert found is not None
    told: Manifest = found.get("status", {})
    return told


async def events(cluster: FakeCluster) -> list[Manifest]:
    return list((await cluster.list(EVENT, "art")).items)


async def test_a_status_is_written_to_the_subresource_and_nothing_twice() -> None:
    async with telling() as (cluster, teller):
        teller.tell(status(1_000))
        await wait_until(lambda: written(cluster).get("epoch") == 1)
        teller.tell(status(9_000_000))
        await asyncio.sleep(0)
        assert cluster.writes == [("patch", "ModelPool/status", "studio")]
        assert "updatedAt" not in written(cluster)
        assert written(cluster)["conditions"][0]["lastTransitionTime"] == "2026-01-01T00:00:00Z"


async def test_a_field_that_has_no_value_any_more_is_taken_away() -> None:
    async with telling() as (cluster, teller):
        teller.tell(status(1_000, cost=CostStatus(useful_share=0.5)))
        await wait_until(lambda: written(cluster).get("cost") == {"usefulShare": 0.5})
        teller.tell(status(62_000))
        await wait_until(lambda: "cost" not in written(cluster))


async def test_while_the_api_server_is_away_the_latest_status_waits() -> None:
    async with telling() as (cluster, teller):
        cluster.away = True
        teller.tell(status(1_000))
        teller.tell(status(2_000, reason="SlotFailed"))
        await asyncio.sleep(0)
        assert cluster.writes == []
        cluster.away = False
        await wait_until(lambda: bool(written(cluster)), timeout=10)
        assert written(cluster)["conditions"][0]["reason"] == "SlotFailed"


async def test_a_move_leaves_an_event_with_score_runner_up_and_reason() -> None:
    async with telling() as (cluster, teller):
        teller.moved(
            Move(
                "studio-secondary-0",
                "neon",
                Action.LOAD,
                Reason.DEMAND_MISS,
                "somebody asked",
                1.2345,
                "studio-video-0",
            )
        )
        await wait_until(lambda: len(cluster.writes) == 1)
        (event,) = await events(cluster)
        assert (event["type"], event["reason"], event["action"]) == ("Normal", "DemandMiss", "Load")
        assert event["note"] == (
            "load neon in studio-secondary-0: somebody asked (score 1.23, runner-up studio-video-0)"
        )
        assert event["regarding"]["name"] == "studio"
        assert event["eventTime"] == "1970-01-01T00:00:01.000000Z"


async def test_degraded_is_told_once_for_each_reason_and_when_it_is_over() -> None:
    async with telling() as (cluster, teller):
        for reason in (None, "SlotFailed", "SlotFailed", "PodRefused", None, None):
            teller.tell(status(1_000, reason=reason))
        await wait_until(lambda: bool(written(cluster)))
        told = [(event["type"], event["reason"]) for event in await events(cluster)]
        assert told == [("Warning", "SlotFailed"), ("Warning", "PodRefused"), ("Normal", "AsExpected")]


async def test_a_note_is_cut_by_bytes_as_the_api_server_counts() -> None:
    async with telling() as (cluster, teller):
        teller.moved(Move("studio-secondary-0", "neon", Action.LOAD, Reason.FILL, "ü" * 1_000))
        await wait_until(lambda: ("create", "Event", "studio.3e8.1") in cluster.writes)
        note = (await events(cluster))[0]["note"]
    assert 1_020 < len(note.encode()) <= 1_024


async def test_the_status_is_written_while_events_are_refused() -> None:
    async with telling() as (cluster, teller):
        cluster.refuses = lambda kind, manifest: "events are forbidden" if kind == EVENT else None
        teller.moved(Move("studio-secondary-0", "neon", Action.LOAD, Reason.FILL, "it was empty"))
        teller.tell(status(10_000))
        await wait_until(lambda: bool(written(cluster)))
