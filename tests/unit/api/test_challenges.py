"""Whatever comes as a solution is judged, and what we have not signed reaches neither Redis nor the processor."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any, cast

import altcha
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelpool.jobs import Lane
from modelpool_api.challenges import LONGEST_SOLUTION, Challenges, Verdict
from modelpool_api.identity.days import Days
from modelpool_api.identity.ring import DayKey, SecretRing
from modelpool_api.identity.subject import Subject
from modelpool_api.policy import Challenge

NOW = 10**11
RING = SecretRing.parse("a-secret-for-the-tests")
SOMEBODY = Subject("guest:x", Lane.ANONYMOUS, repeats="somebody")


class OneDay:
    """The same day for ever."""

    async def today(self) -> DayKey:
        return RING.day_key(20_000, RING.ids()[0])


async def nobody() -> Any:
    raise AssertionError("Redis was asked")


def challenges(now: float = NOW) -> tuple[Challenges, list[str]]:
    counted: list[str] = []
    days = cast("Days", OneDay())
    return Challenges(Challenge(cost=1), RING, days, nobody, lambda: now, counted.append), counted


def judged(solution: str) -> str:
    mine, counted = challenges()
    verdict = asyncio.run(mine.check(solution, SOMEBODY))
    assert counted == [verdict.value]
    return verdict


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
parameters = st.fixed_dictionaries(
    {},
    optional={
        name: anything | st.just(good)
        for name, good in {
            "algorithm": "PBKDF2/SHA-256",
            "nonce": "00",
            "salt": "00",
            "cost": 1,
            "keyLength": 32,
            "keyPrefix": "",
            "expiresAt": NOW + 60,
            "data": {"for": "me"},
        }.items()
    },
)
payloads = st.fixed_dictionaries(
    {"challenge": st.fixed_dictionaries({"parameters": parameters | anything, "signature": anything}) | anything}
    | {"solution": st.fixed_dictionaries({"counter": anything, "derivedKey": anything}) | anything}
)


@given(st.text(max_size=200))
def test_no_text_is_a_solution(text: str) -> None:
    assert judged(text) == Verdict.WRONG


@given(payloads)
def test_no_document_that_we_have_not_signed_is_one(payload: object) -> None:
    text = base64.b64encode(json.dumps(payload).encode()).decode()
    assert judged(text) in (Verdict.WRONG, Verdict.EXPIRED)


@pytest.mark.parametrize("opening", ["[", '{"data":'])
def test_nothing_nests_too_deep_or_is_too_long(opening: str) -> None:
    for depth in (300, 900, LONGEST_SOLUTION):
        deep = opening * depth
        assert judged(base64.b64encode(deep.encode()).decode()) == Verdict.WRONG
    inner = "[" * 990 + "]" * 990
    known = f'"algorithm":"x","nonce":"00","salt":"00","cost":1,"expiresAt":{NOW + 60},"data":{inner}'
    text = f'{{"challenge":{{"parameters":{{{known}}},"signature":"x"}},"solution":{{"counter":1,"derivedKey":"x"}}}}'
    assert judged(base64.b64encode(text.encode()).decode()) == Verdict.WRONG


def test_a_challenge_ends_and_is_for_one() -> None:
    mine, _ = challenges(NOW)
    given_out = asyncio.run(mine.issue(SOMEBODY))
    assert given_out["parameters"]["expiresAt"] == NOW + 600
    assert "somebody" not in json.dumps(given_out)
    challenge = altcha.Challenge.from_dict(given_out)
    solution = altcha.solve_challenge(challenge)
    assert solution is not None
    text = altcha.Payload(challenge, solution).to_base64()
    another = Subject("guest:y", Lane.ANONYMOUS, repeats="somebody else")
    assert asyncio.run(mine.check(text, another)) == Verdict.FOREIGN
    late, _ = challenges(NOW + 600)
    assert asyncio.run(late.check(text, SOMEBODY)) == Verdict.EXPIRED
