"""How long a job would wait for its start, and when to come back."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelpool.documents import Heartbeat
from modelpool.jobs import Lane
from modelpool.queue.port import ModelDepth
from modelpool_api.estimate import Capacity
from modelpool_api.overload import LONGEST_RETRY, Full, predicted_wait, work_in_front


def beat(slot: str, *hot: str, draining: bool = False) -> Heartbeat:
    return Heartbeat(slot=slot, worker=slot, pid=1, hot=hot, draining=draining)


def can(load: float | None = 0.0, busy: float = 0.0) -> Capacity:
    return Capacity("hot", 1, 8, load, busy, None)


def wait(model: str, beats: list[Heartbeat], in_front: dict[str, float], capacity: Capacity | None = None) -> float:
    return predicted_wait(model, capacity or can(), beats, in_front, lambda name: 0.5 if name == "fast" else 1.0)


def test_what_waits_is_shared_by_all_slots_that_hold_the_model() -> None:
    assert wait("a", [beat("1", "a"), beat("2", "a")], {"a": 60}) == 30
    assert wait("a", [beat("1", "a"), beat("2", "a", draining=True)], {"a": 60}) == 60
    assert wait("fast", [beat("1", "fast")], {"fast": 60}) == 30


def test_what_waits_for_another_model_of_the_same_slot_is_in_front_too() -> None:
    assert wait("a", [beat("1", "a", "b")], {"a": 10, "b": 20}) == 30
    # One slot holds only a: it gets there first.
    assert wait("a", [beat("1", "a", "b"), beat("2", "a")], {"a": 10, "b": 20}) == 5
    assert wait("a", [beat("1", "a")], {"a": 10, "b": 1000}) == 10


def test_a_running_batch_and_a_load_come_first() -> None:
    assert wait("a", [beat("1", "a")], {"a": 10}, can(busy=3)) == 13
    assert wait("a", [beat("1", "b")], {"a": 10}, can(load=22)) == 32
    assert wait("a", [], {"a": 10}, can(load=None)) == 10


def test_only_paid_jobs_are_in_front_of_a_paid_one() -> None:
    depth = ModelDepth(queued=10, queued_work=100, by_lane={Lane.PAID: 2, Lane.ANONYMOUS: 8})
    assert work_in_front(depth, Lane.PAID) == 20
    assert work_in_front(depth, Lane.ACCOUNT) == work_in_front(depth, Lane.ANONYMOUS) == 100
    assert work_in_front(None, Lane.PAID) == work_in_front(ModelDepth(), Lane.ANONYMOUS) == 0


@given(st.floats(0, 1e6), st.floats(0.1, 1e5), st.floats(0, 1, exclude_max=True))
def test_who_is_refused_comes_back_between_a_second_and_two_minutes(wait: float, limit: float, chance: float) -> None:
    assert 1 <= Full(wait, limit).retry_after(chance) <= LONGEST_RETRY


@pytest.mark.parametrize("wait", [60.1, 65, 75, 100, 240, 100_000])
def test_whatever_the_wait_a_crowd_that_was_refused_comes_back_evenly_spread(wait: float) -> None:
    crowd = 10_000
    returning = Counter(Full(wait, 60).retry_after(number / crowd) for number in range(crowd))
    assert max(returning.values()) <= crowd / 10
    assert max(returning) - min(returning) >= 10
    assert max(returning) <= LONGEST_RETRY


@pytest.mark.parametrize(("chance", "seconds"), [(0, 10), (0.5, 15), (1, 20)])
def test_those_who_were_refused_together_do_not_come_back_together(chance: float, seconds: int) -> None:
    assert Full(70, 60).retry_after(chance) == seconds
