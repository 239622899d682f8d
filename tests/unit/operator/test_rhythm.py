"""When the next round of a pool comes, and whether it is urgent."""

import asyncio
import time
from collections.abc import Iterable

import pytest

from modelpool.resources.spec import Policy
from modelpool_operator.planner import ModelFacts, SlotFacts, Snapshot, plan
from modelpool_operator.rhythm import (
    BUSY_SECONDS,
    LEAST_REST,
    LONGEST_REST_SECONDS,
    REST_SECONDS,
    SOON_SECONDS,
    Rhythm,
    next_look,
)
from support.snapshots import model, slot, snapshot

FLAT, NEON = model("flat", "main", 14, 4), model("neon", "main", 14, 4)
LONG = 30.0


def seen(slots: Iterable[SlotFacts], models: Iterable[ModelFacts] = (FLAT, NEON), **rules: object) -> Snapshot:
    return snapshot(slots, models, {"main": Policy.ROTATE}, **rules)  # type: ignore[arg-type]  # as given


def after_a_round(flat_is_on: SlotFacts) -> Rhythm:
    """A rhythm that has just seen flat held, and nothing else."""
    rhythm, now = Rhythm(), seen([flat_is_on])
    rhythm.begin()
    rhythm.end(now, plan(now))
    return rhythm


async def woken_within(rhythm: Rhythm, seconds: float) -> bool:
    started = time.monotonic()
    await rhythm.rest(LONG if seconds > 1 else seconds)
    return time.monotonic() - started < seconds


async def test_a_job_for_what_nobody_holds_wakes_at_once_and_is_urgent_until_a_round_has_begun() -> None:
    rhythm = after_a_round(slot("a", "main", holds=["flat"]))
    assert not rhythm.is_urgent()
    rhythm.ring("neon")
    assert rhythm.is_urgent()
    assert await woken_within(rhythm, 5)
    rhythm.begin()
    assert not rhythm.is_urgent()
    assert not await woken_within(rhythm, 0.05)


async def test_a_job_for_what_is_held_wakes_soon_and_is_not_urgent() -> None:
    rhythm = after_a_round(slot("a", "main", holds=["flat"]))
    started = time.monotonic()
    for _ in range(3):
        rhythm.ring("flat")
    assert not rhythm.is_urgent()
    await rhythm.rest(LONG)
    assert SOON_SECONDS * 0.9 < time.monotonic() - started < LONG


async def test_what_a_dead_worker_was_told_to_hold_is_held_by_nobody() -> None:
    rhythm = after_a_round(slot("a", "main", alive=False, assigned=("flat",)))
    rhythm.ring("flat")
    assert rhythm.is_urgent()


async def test_news_of_pool_or_workers_wakes_at_once_and_leaves_misses_of_others_in_front() -> None:
    rhythm = after_a_round(slot("a", "main", holds=["flat"]))
    rhythm.wake()
    assert not rhythm.is_urgent()
    assert await woken_within(rhythm, 5)


async def test_a_miss_that_rings_during_a_round_is_for_the_next_one() -> None:
    rhythm, now = Rhythm(), seen([slot("a", "main", holds=["flat"])])
    rhythm.begin()
    rhythm.ring("neon")
    rhythm.end(now, plan(now))
    assert rhythm.is_urgent()
    assert await woken_within(rhythm, 5)


async def test_a_process_whose_rounds_cost_much_takes_its_time_with_what_is_held() -> None:
    rhythm = after_a_round(slot("a", "main", holds=["flat"]))
    rhythm.took(SOON_SECONDS / LEAST_REST * 1.5)
    rhythm.ring("flat")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(SOON_SECONDS * 1.1):
            await rhythm.rest(LONG)


@pytest.mark.parametrize(
    ("slots", "models", "seconds"),
    [
        ([slot("a", "main", holds=["flat"])], [FLAT], REST_SECONDS),
        ([slot("a", "main", holds=["flat"])], [model("flat", "main", 14, 4, queued=1)], SOON_SECONDS),
        ([slot("a", "main", assigned=("flat",))], [model("flat", "main", 14, 4, queued=1)], BUSY_SECONDS),
        ([slot("a", "main", alive=False, starting=True)], [FLAT], BUSY_SECONDS),
        ([slot("a", "main", alive=False)], [model("flat", "main", 14, 4, queued=1)], SOON_SECONDS),
    ],
    ids=["at rest", "jobs wait", "a model loads", "a worker starts", "a job waits for a worker that is not there"],
)
def test_the_more_is_under_way_the_sooner_the_next_look(
    slots: list[SlotFacts], models: list[ModelFacts], seconds: float
) -> None:
    now = seen(slots, models, intervalSeconds=15)
    assert next_look(now, plan(now), 0) == seconds


def test_a_pool_with_a_shorter_interval_is_looked_at_as_often() -> None:
    now = seen([slot("a", "main", holds=["flat"])], [FLAT], intervalSeconds=1)
    assert next_look(now, plan(now), 0) == 1


@pytest.mark.parametrize(("least", "seconds"), [(1, REST_SECONDS), (3, 3), (60, LONGEST_REST_SECONDS)])
def test_the_more_a_round_costs_the_longer_is_the_rest_but_not_for_ever(least: float, seconds: float) -> None:
    now = seen([slot("a", "main", holds=["flat"])], [FLAT], intervalSeconds=15)
    assert next_look(now, plan(now), least) == seconds
