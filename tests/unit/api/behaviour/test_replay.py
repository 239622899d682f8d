"""What the rules would have refused of a recorded log."""

from __future__ import annotations

import pytest

from modelpool_api.behaviour.replay import Memory, replay
from modelpool_api.behaviour.rules import MINUTE_MS, Evidence, Pattern
from modelpool_api.behaviour.sightings import Sighting
from modelpool_api.policy import Behaviour

HOUR, DAY = 60 * MINUTE_MS, 24 * 60 * MINUTE_MS
RULES = Behaviour(rapid_per_minute=3, identical_per_hour=None, visitors_per_device=2, networks_per_fingerprint=None)


def request(at: int = 0, who: str = "w", **parts: str) -> Sighting:
    return Sighting(at, who, parts.pop("words", f"{who} words"), parts.pop("network", "n"), **parts)


@pytest.mark.parametrize(("life", "count"), [(MINUTE_MS, "in_a_minute"), (HOUR, "identical_in_an_hour")])
def test_a_window_begins_with_its_first_request_and_ends_for_all_at_once(life: int, count: str) -> None:
    memory = Memory()
    seen = [getattr(memory.see(request(at)), count) for at in (0, life // 2, life - 1, life, life + 1)]
    assert seen == [1, 2, 3, 1, 2]


def test_visitors_and_networks_are_counted_once_each_for_a_day() -> None:
    memory = Memory()
    seen = [
        memory.see(request(at, device="d", fingerprint="f", visitor=visitor, network=network))
        for at, visitor, network in [(0, "a", "n1"), (1, "a", "n1"), (2, "b", "n1"), (3, "a", "n2"), (DAY, "c", "n3")]
    ]
    assert [one.visitors_of_device for one in seen] == [1, 1, 2, 2, 1]
    assert [one.networks_of_fingerprint for one in seen] == [1, 1, 1, 2, 1]


def test_without_a_fingerprint_there_is_nothing_to_gather() -> None:
    assert Memory().see(request()) == Evidence(1, 1, 0, 0)


def test_what_is_over_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelpool_api.behaviour.replay._KEPT", 10)
    memory = Memory()
    for number in range(1000):
        memory.see(request(number * HOUR, f"w{number}"))
    assert len(memory._windows) <= 12


def test_each_rule_says_what_it_would_have_refused_and_of_whom() -> None:
    quick = [request(at, "quick") for at in range(5)]
    slow = [request(at * MINUTE_MS, "slow") for at in range(5)]
    found = replay(sorted(quick + slow, key=lambda one: one.at), RULES)
    rapid = found.rules[Pattern.RAPID]
    assert (found.requests, found.subjects) == (10, {"quick", "slow"})
    assert (found.first, found.last) == (0, 4 * MINUTE_MS)
    assert (rapid.limit, rapid.requests, rapid.subjects) == (3, 2, {"quick"})
    assert [(sample.who, sample.at, sample.seen) for sample in rapid.samples] == [("quick", 3, 4)]
    assert found.rules[Pattern.IDENTICAL].limit is None
    assert found.rules[Pattern.IDENTICAL].requests == 0


def test_a_request_that_two_rules_refuse_is_refused_once() -> None:
    same = [request(at, device="d", fingerprint="f", visitor=f"v{at}") for at in range(6)]
    found = replay(same, RULES)
    assert found.rules[Pattern.RAPID].requests == 3
    assert found.rules[Pattern.CLEARED_COOKIES].requests == 4
    assert found.all_rules.requests == 4


def test_samples_are_of_different_subjects_and_few() -> None:
    many = [request(at, f"w{who}") for who in range(5) for at in range(5)]
    found = replay(sorted(many, key=lambda one: one.at), RULES, samples=2)
    assert [sample.who for sample in found.rules[Pattern.RAPID].samples] == ["w0", "w1"]


def test_an_empty_log_refuses_nobody() -> None:
    found = replay([], RULES)
    assert (found.requests, found.first, found.all_rules.requests) == (0, None, 0)
