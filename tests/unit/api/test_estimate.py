"""Estimates: honest before measurement, additive afterwards."""

from __future__ import annotations

from typing import Any

import pytest

from modelpool.documents import CatalogModel, Heartbeat, Loading, MeasuredModel, RunningBatch, SlotFailure, Stat
from modelpool_api import estimate
from modelpool_api.estimate import Capacity, Pace, capacity

NOW = 1_000_000
MODEL = CatalogModel.model_validate(
    {
        "name": "m",
        "tier": "t",
        "policy": "Rotate",
        "tasks": ["TextToImage"],
        "source": {"uri": "file:///m"},
        "revision": "r",
        "weightsBytes": 1,
        "activationsBytes": 1,
        "defaults": {},
        "limits": {},
        "batch": {"max": 4},
        "secondsPerMegapixelStep": 0.1,
    }
)
MEASURED = MeasuredModel(
    cold_to_hot_seconds=Stat(mean=20, count=1),
    warm_to_hot_seconds=Stat(mean=2, count=1),
    seconds_per_megapixel_step=Stat(mean=0.3, count=1),
    batch_cap=3,
)


def beat(**fields: Any) -> Heartbeat:
    return Heartbeat(slot="s", worker="w", pid=1, **fields)


def can(**changes: Any) -> Capacity:
    usual: dict[str, Any] = {
        "state": "hot",
        "replicas": 1,
        "cap": 4,
        "load_seconds": 0.0,
        "busy_seconds": 0.0,
        "seconds_per_megapixel_step": 0.1,
    }
    return Capacity(**(usual | changes))


@pytest.mark.parametrize(
    ("beats", "state", "load"),
    [
        ([], "cold", None),
        ([beat(measured={"m": MEASURED})], "cold", 20),
        ([beat(warm=("m",))], "warm", None),
        ([beat(warm=("m",), measured={"m": MEASURED})], "warm", 2),
        ([beat(hot=("m",))], "hot", 0),
        ([beat(hot=("m",), draining=True)], "cold", None),
        ([beat(loading=Loading(model="other", since=NOW)), beat(hot=("m",))], "hot", 0),
        ([beat(loading=Loading(model="m", since=NOW - 1000))], "loading", None),
        ([beat(loading=Loading(model="m", since=NOW - 1000), measured={"m": MEASURED})], "loading", 19),
        ([beat(loading=Loading(model="m", origin="warm", since=NOW - 500), measured={"m": MEASURED})], "loading", 1.5),
        ([beat(loading=Loading(model="m", since=NOW - 3000, progress=0.75))], "loading", 1),
        ([beat(loading=Loading(model="m", since=NOW - 60_000), measured={"m": MEASURED})], "loading", 0.5),
        ([beat(failed={"m": SlotFailure(code="x", message="y", at=1)})], "failed", None),
        ([beat(failed={"m": SlotFailure(code="x", message="y", at=1)}), beat(hot=("m",))], "hot", 0),
    ],
)
def test_the_best_slot_decides_the_state(beats: list[Heartbeat], state: str, load: float | None) -> None:
    found = capacity(MODEL, beats, NOW)
    assert (found.state, found.load_seconds) == (state, load)


def test_replicas_caps_and_pace_come_from_all_slots() -> None:
    found = capacity(MODEL, [beat(hot=("m",), measured={"m": MEASURED}), beat(hot=("m", "n"))], NOW)
    assert (found.replicas, found.cap, found.seconds_per_megapixel_step) == (2, 3, 0.3)
    assert capacity(MODEL, [], NOW).cap == 4


def test_a_running_batch_delays_by_what_is_left_of_it() -> None:
    batch = RunningBatch(model="n", size=1, since=NOW - 3000, step=3, steps=4)
    assert capacity(MODEL, [beat(hot=("m",), batch=batch)], NOW).busy_seconds == 1
    free = [beat(hot=("m",), batch=batch), beat(hot=("m",))]
    assert capacity(MODEL, free, NOW).busy_seconds == 0


def test_nothing_measured_means_estimating() -> None:
    assert estimate.waiting(0, 1, 1, 1, can(), None) == estimate.Estimate(None, "estimating")
    assert estimate.waiting(0, 1, 1, 1, can(state="cold", load_seconds=None), Pace()).text == "estimating"
    assert estimate.waiting(0, 1, 1, 1, can(state="loading", load_seconds=None), Pace()).text == "model loading"


def test_a_first_job_takes_its_own_time() -> None:
    assert estimate.waiting(0, 2, 2, 1, can(), Pace()).seconds == 2


def test_jobs_in_front_divide_among_replicas_and_batches_help() -> None:
    alone = estimate.waiting(8, 1, 9, 9, can(cap=1), Pace()).seconds
    shared = estimate.waiting(8, 1, 9, 9, can(cap=1), Pace(alone=1, shared=0.25)).seconds
    replicas = estimate.waiting(8, 1, 9, 9, can(cap=1, replicas=4), Pace()).seconds
    assert (alone, shared, replicas) == (9, 3, 3)


def test_the_estimate_grows_with_the_position() -> None:
    found = [estimate.waiting(n, 1, 10, 10, can(), Pace()).seconds for n in range(10)]
    assert found == sorted(found, key=lambda seconds: seconds or 0)


@pytest.mark.parametrize(
    ("state", "load", "text"),
    [
        ("hot", 0.0, "about 1 s"),
        ("loading", 17.0, "model loading, 18 s"),
        ("warm", 2.0, "model to be loaded, 3 s"),
        ("cold", 200.0, "model to be loaded, 3 min"),
        ("failed", None, "the model could not be loaded; it will be tried again"),
    ],
)
def test_the_text_says_what_the_time_is_spent_on(state: str, load: float | None, text: str) -> None:
    assert estimate.waiting(0, 1, 1, 1, can(state=state, load_seconds=load), Pace()).text == text


def test_a_running_job_is_extrapolated_from_its_progress() -> None:
    assert estimate.running(1, 3, 0.75, None).seconds == 1
    assert estimate.running(10, 3, 0.01, Pace()).seconds == 7
    assert estimate.running(1, 3, None, Pace()).seconds == 0.1
    assert estimate.running(1, 3, None, None).text == "estimating"


def test_the_pace_follows_what_is_seen() -> None:
    pace = Pace.first(ran=2, batch=4, work=1)
    assert (pace.alone, pace.shared) == (2, 0.5)
    for _ in range(60):
        pace = pace.blend(ran=4, batch=4, work=1)
    assert pace.alone == pytest.approx(4, rel=0.01)
    assert estimate.pace_of(MODEL, can(), {"m": pace}) is pace
    assert estimate.pace_of(MODEL, can(), {}) == Pace()
    assert estimate.pace_of(MODEL, can(seconds_per_megapixel_step=None), {}) is None
