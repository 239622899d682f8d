"""Patterns: each is noticed beyond its threshold, not at it, and each can be switched off."""

from __future__ import annotations

from typing import Any

import pytest

from modelpool_api.behaviour.rules import Evidence, LooksUnusual, Pattern, noticed
from modelpool_api.policy import Behaviour

RULES = Behaviour(rapid_per_minute=10, identical_per_hour=5, visitors_per_device=4, networks_per_fingerprint=3)
FIELDS = {
    Pattern.RAPID: ("in_a_minute", "rapid_per_minute"),
    Pattern.IDENTICAL: ("identical_in_an_hour", "identical_per_hour"),
    Pattern.CLEARED_COOKIES: ("visitors_of_device", "visitors_per_device"),
    Pattern.MANY_NETWORKS: ("networks_of_fingerprint", "networks_per_fingerprint"),
}


@pytest.mark.parametrize("pattern", list(Pattern))
def test_each_is_noticed_beyond_its_threshold_and_can_be_switched_off(pattern: Pattern) -> None:
    seen, rule = FIELDS[pattern]
    limit = getattr(RULES, rule)
    at: dict[str, Any] = {seen: limit}
    beyond: dict[str, Any] = {seen: limit + 1}
    assert noticed(Evidence(**at), RULES) == ()
    assert noticed(Evidence(**beyond), RULES) == (pattern,)
    assert noticed(Evidence(**beyond), RULES.model_copy(update={rule: None})) == ()


def test_an_ordinary_visitor_shows_none_of_the_default_patterns() -> None:
    assert noticed(Evidence(6, 2, 1, 3), Behaviour()) == ()


@pytest.mark.parametrize("pattern", list(Pattern))
def test_the_answer_is_gentle_and_offers_an_account(pattern: Pattern) -> None:
    answer = LooksUnusual(pattern, " A free account helps.")
    assert answer.status == 429
    assert answer.message.endswith("A free account helps.")
    assert "nothing is held against you" in answer.message
    assert answer.retry_after in (60, 3600)
