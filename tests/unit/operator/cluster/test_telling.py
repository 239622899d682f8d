"""The status of the resource and its Events: what is written, when, and what happens when it cannot be."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from modelpool.resources.pool import PoolRef
from modelpool.resources.status import Condition, CostStatus, ModelPoolStatus, ModelState, ModelStatus
from modelpool_operator.cluster.fake import FakeCluster
from modelpool_operator.cluster.port import EVENT, MODEL_POOL, Manifest
from modelpool_operator.cluster.sightings import Sightings
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


class Watched(FakeCluster):
    """A cluster with the pool in it, and what its operator has seen of it until now. ``now``: Unix milliseconds."""

    def __init__(self) -> None:
        super().__init__()
        self.at = 1_000
        self.sightings = Sightings(lambda pool: None)
        self.watchers.append(self.sightings.saw)

    def look(self) -> Manifest | None:
        return self.sightings.pools().get(POOL)

    def overwrite(self, **status: object) -> None:
        """Somebody else writes the pool's status."""
        self.change(MODEL_POOL, "art", "studio", {"status": status})


@asynccontextmanager
async def telling() -> AsyncIterator[tuple[Watched, ResourceTeller]]:
    cluster = Watched()
    made = await cluster.create(MODEL_POOL, pool_object())
    cluster.writes.clear()
    teller = ResourceTeller(POOL, made["metadata"]["uid"], cluster, "here", cluster.look, lambda: cluster.at)
    task = asyncio.create_task(teller.run())
    try:
        yield cluster, teller
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def told_again(cluster: Watched, teller: ResourceTeller, same: ModelPoolStatus) -> None:
    """Ten rounds find the same, two seconds apart."""
    for _ in range(10):
        cluster.at += 2_000
        teller.tell(same.model_copy(update={"updated_at": cluster.at}))
        for _ in range(5):
            await asyncio.sleep(0)


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
        await told_again(cluster, teller, status(1_000))
        assert cluster.writes == [("patch", "ModelPool/status", "studio")]
        assert "updatedAt" not in written(cluster)
        assert written(cluster)["conditions"][0]["lastTransitionTime"] == "2026-01-01T00:00:00Z"


async def test_a_field_that_has_no_value_any_more_is_taken_away() -> None:
    async with telling() as (cluster, teller):
        teller.tell(status(1_000, cost=CostStatus(useful_share=0.5)))
        await wait_until(lambda: written(cluster).get("cost") == {"usefulShare": 0.5})
        cluster.at = 62_000
        teller.tell(status(62_000))
        await wait_until(lambda: "cost" not in written(cluster))


async def test_what_is_told_soon_after_a_write_is_written_without_a_further_word() -> None:
    async with telling() as (cluster, teller):
        teller.tell(status(1_000))
        await wait_until(lambda: bool(written(cluster)))
        cluster.at = 1_800
        teller.tell(status(1_800, reason="InvalidSpec"))
        await wait_until(lambda: len(cluster.writes) == 2)  # its Event
        assert written(cluster)["conditions"][0]["reason"] == "AsExpected"
        cluster.at = 2_100
        await wait_until(lambda: written(cluster)["conditions"][0]["reason"] == "InvalidSpec")


async def test_a_status_that_somebody_else_overwrites_is_written_again() -> None:
    async with telling() as (cluster, teller):
        teller.tell(status(1_000))
        await wait_until(lambda: bool(written(cluster)))
        ours = written(cluster)
        cluster.overwrite(queued=99, conditions=[])
        assert written(cluster) != ours
        await told_again(cluster, teller, status(1_000))
        assert written(cluster) == ours
        assert len(cluster.writes) == 2


async def test_a_status_that_somebody_else_takes_away_is_written_again() -> None:
    async with telling() as (cluster, teller):
        teller.tell(status(1_000))
        await wait_until(lambda: bool(written(cluster)))
        ours = written(cluster)
        cluster.change(MODEL_POOL, "art", "studio", {"status": None})
        await told_again(cluster, teller, status(1_000))
        assert written(cluster) == ours


async def test_what_a_newer_operator_has_written_is_left_alone() -> None:
    async with telling() as (cluster, teller):
        teller.tell(status(1_000))
        await wait_until(lambda: bool(written(cluster)))
        cluster.overwrite(epoch=2, queued=7)
        await told_again(cluster, teller, status(1_000))
        assert (written(cluster)["epoch"], len(cluster.writes)) == (2, 1)


async def test_other_changes_of_the_pool_and_late_news_of_it_are_no_reason_to_write() -> None:
    async with telling() as (cluster, teller):
        cluster.watchers.clear()
        teller.tell(status(1_000))
        await wait_until(lambda: bool(written(cluster)))
        await told_again(cluster, teller, status(1_000))
        cluster.watchers.append(cluster.sightings.saw)
        cluster.change(MODEL_POOL, "art", "studio", {"metadata": {"labels": {"team": "art"}}})
        await told_again(cluster, teller, status(1_000))
        assert len(cluster.writes) == 1


async def test_one_who_overwrites_it_again_and_again_is_answered_once_a_minute() -> None:
    async with telling() as (cluster, teller):
        teller.tell(status(1_000))
        await wait_until(lambda: bool(written(cluster)))
        for _ in range(5):  # of twenty seconds
            cluster.overwrite(queued=99)
            await told_again(cluster, teller, status(1_000))
        assert len(cluster.writes) == 3


async def test_while_the_api_server_is_away_the_latest_status_waits() -> None:
    async with telling() as (cluster, teller):
        cluster.away = True
        teller.tell(status(1_000))
        teller.tell(status(2_000, reason="SlotFailed"))
        await asyncio.sleep(0)
        assert cluster.writes == []
        cluster.away = False
        await wait_until(lambda: bool(written(cluster)))
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
