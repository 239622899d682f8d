"""A proof of work instead of a refusal: one for each unusual request, from whoever it was given to, in time."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import altcha
import pytest

from modelpool.queue.connection import connect
from modelpool_api.challenges import LONGEST_SOLUTION
from support.running_api import published
from support.solving import HEADER, ask_solving, solve
from support.visitors import SECRET, Door, Visitor, door_settings, open_door

ADMISSION = """
profile: local
behaviour: {mode: enforce, answer: challenge, rapidPerMinute: 2}
accounts: {proofOfWork: true}
challenge: {cost: 1, lifeSeconds: 60}
"""


@pytest.fixture
async def door(redis_url_any: str, tmp_path: Path) -> AsyncIterator[Door]:
    async with published(redis_url_any), open_door(door_settings(redis_url_any, tmp_path, ADMISSION)) as door:
        yield door


@pytest.fixture
async def quick(door: Door) -> Visitor:
    """Somebody who has been too quick: whose next request is answered with a challenge."""
    visitor = Visitor(door, fingerprint="a-fingerprint-of-somebody")
    assert [(await visitor.ask()).status_code for _ in range(2)] == [202, 202]
    return visitor


async def challenged(visitor: Visitor) -> dict[str, Any]:
    """The challenge in the answer to an unusual request."""
    answer = await visitor.ask()
    assert answer.status_code == 429
    challenge: dict[str, Any] = answer.json()["challenge"]
    return challenge


async def outcomes(door: Door) -> dict[str, float]:
    lines = (await door.call("GET", "/metrics")).text.splitlines()
    found = [line for line in lines if line.startswith("modelpool_challenges_total{")]
    return {line.split('"')[1]: float(line.split()[-1]) for line in found}


async def test_the_answer_brings_a_challenge_and_its_solution_lets_one_request_in(door: Door, quick: Visitor) -> None:
    answer = await quick.ask()
    problem = answer.json()
    assert (answer.status_code, problem["error"]["code"]) == (429, "unusual_use")
    assert "Modelpool-Solution" in problem["detail"]
    assert "POST /v1/accounts" in problem["detail"]
    assert problem["challenge"]["parameters"]["algorithm"] == "PBKDF2/SHA-256"
    solution = solve(problem["challenge"])
    before = await quick.remaining()
    assert (await quick.ask(headers={HEADER: solution})).status_code == 202
    assert await quick.remaining() == before - 1
    again = await quick.ask(headers={HEADER: solution})
    assert again.status_code == 429
    assert "used before" in again.json()["detail"]
    assert (await quick.ask(headers={HEADER: solve(again.json()["challenge"])})).status_code == 202
    assert await outcomes(door) == {"issued": 2, "solved": 2, "used": 1}


async def test_challenges_come_no_faster_than_pictures_and_a_solved_one_is_paced_once(
    redis_url_any: str, tmp_path: Path
) -> None:
    slowly = f"{ADMISSION}anonymous: {{burst: {{perSecond: 0.001, burst: 6}}}}"
    async with published(redis_url_any), open_door(door_settings(redis_url_any, tmp_path, slowly)) as door:
        visitor = Visitor(door, fingerprint="a-fingerprint-of-somebody")
        assert [(await visitor.ask()).status_code for _ in range(2)] == [202, 202]
        challenge = (await visitor.call("GET", "/v1/challenge")).json()
        assert (await visitor.ask(headers={HEADER: solve(challenge)})).status_code == 202
        codes = [(await visitor.ask()).json()["error"]["code"] for _ in range(6)]
        assert codes == ["unusual_use"] * 3 + ["too_many_requests"] * 3
        assert (await outcomes(door))["issued"] == 1 + 3


async def test_challenges_and_the_work_for_accounts_keep_the_burst_rule_each_by_itself(
    redis_url_any: str, tmp_path: Path
) -> None:
    slowly = f"{ADMISSION}anonymous: {{burst: {{perSecond: 0.001, burst: 3}}}}"
    async with published(redis_url_any), open_door(door_settings(redis_url_any, tmp_path, slowly)) as door:
        networks = ("203.0.113.9", "198.51.100.1")
        one, another = (Visitor(door, network, fingerprint="a-fingerprint-of-somebody") for network in networks)
        asked = [(await one.call("GET", "/v1/challenge")).status_code for _ in range(5)]
        assert asked == [200] * 3 + [429] * 2
        opened = [await one.call("POST", "/v1/accounts", headers={HEADER: "a guess"}) for _ in range(5)]
        assert [answer.status_code for answer in opened] == [403] * 3 + [429] * 2
        assert opened[-1].json()["error"]["code"] == "too_many_requests"
        assert (await outcomes(door)) == {"issued": 6, "wrong": 3}
        challenge = (await another.call("GET", "/v1/challenge")).json()
        made = await another.call("POST", "/v1/accounts", headers={HEADER: solve(challenge)})
        assert made.status_code == 201
        assert (await one.ask()).status_code == 202


async def test_a_usual_request_needs_no_solution_and_uses_none_up(door: Door) -> None:
    visitor = Visitor(door)
    solution = solve((await visitor.call("GET", "/v1/challenge")).json())
    assert [(await visitor.ask(headers={HEADER: solution})).status_code for _ in range(3)] == [202] * 3
    assert (await visitor.ask(headers={HEADER: solution})).status_code == 429


async def test_a_request_whose_answer_was_lost_is_answered_with_its_job(quick: Visitor) -> None:
    headers = {"Idempotency-Key": "mine"}
    solved = {**headers, HEADER: solve(await challenged(quick))}
    first = await quick.ask(prompt="mine", headers=solved)
    assert first.status_code == 202
    for again in (solved, headers):
        assert (await quick.ask(prompt="mine", headers=again)).json()["id"] == first.json()["id"]
    assert (await quick.ask(prompt="other words", headers=headers)).status_code == 422
    assert (await quick.ask(prompt="mine", headers={"Idempotency-Key": "another"})).status_code == 429


async def test_of_many_requests_with_one_solution_one_is_let_in(quick: Visitor) -> None:
    solution = solve(await challenged(quick))
    answers = await asyncio.gather(*(quick.ask(headers={HEADER: solution}) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [202] + [429] * 19


async def test_a_solution_is_good_only_for_whom_it_was_given_to(door: Door, quick: Visitor) -> None:
    other = Visitor(door, "198.51.100.7", "another-fingerprint-here")
    solution = solve((await other.call("GET", "/v1/challenge")).json())
    refused = await quick.ask(headers={HEADER: solution})
    assert refused.status_code == 429
    assert "another browser or network" in refused.json()["detail"]
    assert (await outcomes(door))["foreign"] == 1


async def test_a_solution_that_comes_too_late_is_told_so(
    door: Door, quick: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    challenges = door.context.challenges
    begun = challenges._now()
    monkeypatch.setattr(challenges, "_now", lambda: begun - 61)
    late = solve(await challenged(quick))
    monkeypatch.undo()
    refused = await quick.ask(headers={HEADER: late})
    assert "too late" in refused.json()["detail"]
    assert (await outcomes(door))["expired"] == 1


def changed(solution: str, **parameters: object) -> str:
    payload = json.loads(base64.b64decode(solution))
    payload["challenge"]["parameters"] |= parameters
    return base64.b64encode(json.dumps(payload).encode()).decode()


async def test_what_is_not_a_solution_of_ours_is_none(door: Door, quick: Visitor) -> None:
    challenge = await challenged(quick)
    good = solve(challenge)
    other = json.loads(base64.b64decode(solve(await challenged(quick))))
    wrong = other | {"solution": other["solution"] | {"counter": other["solution"]["counter"] + 1}}
    ours = altcha.create_challenge("PBKDF2/SHA-256", 1, expires_at=2**33, hmac_secret=b"a guess", data={"for": "me"})
    offered = [
        "",
        "nonsense",
        "é",
        "{}",
        base64.b64encode(b"[]").decode(),
        base64.b64encode(json.dumps({"challenge": challenge, "solution": {}}).encode()).decode(),
        base64.b64encode(json.dumps(wrong).encode()).decode(),
        changed(good, expiresAt=2**33),
        changed(good, cost=0),
        changed(good, keyPrefix=""),
        changed(good, data={"for": "me"}),
        changed(good, expiresAt="2030"),
        changed(good, expiresAt=None),
        solve(ours.to_dict()),
        "A" * (LONGEST_SOLUTION + 1),
    ]
    for solution in offered:
        headers = {HEADER: solution.encode()}
        assert (await quick.ask(headers=headers)).status_code == 429, solution
    assert (await quick.ask(headers={HEADER: good})).status_code == 202
    found = await outcomes(door)
    assert found["wrong"] + found["expired"] == len(offered)
    assert found["solved"] == 1


async def test_a_wrong_try_uses_the_challenge_up_so_that_guessing_makes_us_compute_nothing(
    quick: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = solve(await challenged(quick))
    payload = json.loads(base64.b64decode(good))
    real, computed = altcha.v2.derive_key_pbkdf2, 0

    def counted(parameters: altcha.ChallengeParameters, salt: bytes, password: bytes) -> bytes:
        nonlocal computed
        computed += 1
        return real(parameters, salt, password)

    monkeypatch.setattr(altcha.v2, "derive_key_pbkdf2", counted)
    for counter in range(3):
        payload["solution"]["counter"] = counter + 10**6
        guess = base64.b64encode(json.dumps(payload).encode()).decode()
        assert (await quick.ask(headers={HEADER: guess})).status_code == 429
    assert "used before" in (await quick.ask(headers={HEADER: good})).json()["detail"]
    assert computed == 1


async def test_a_challenge_outlives_a_rotation_of_the_secret_and_is_known_to_every_replica(
    redis_url_any: str, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(published(redis_url_any))
        before = await stack.enter_async_context(open_door(door_settings(redis_url_any, tmp_path, ADMISSION)))
        rotated = door_settings(redis_url_any, tmp_path, ADMISSION, secret=f"the-new-secret-of-the-tests,{SECRET}")
        after = await stack.enter_async_context(open_door(rotated))
        visitor = Visitor(before)
        for _ in range(2):
            await visitor.ask()
        solution = solve(await challenged(visitor))
        statuses = [
            (await Visitor(door, cookie=visitor.cookie).ask(headers={HEADER: solution})).status_code
            for door in (after, before, after)
        ]
    assert statuses == [202, 429, 429]


async def test_what_is_kept_of_a_solved_one_ends_and_names_nobody(quick: Visitor, redis_url_any: str) -> None:
    assert (await ask_solving(quick)).status_code == 202
    async with await connect(redis_url_any) as client:
        (life,) = [await client.ttl(key) async for key in client.scan_iter("mpl:{door}:solved:*")]
    assert 3_600 < life <= 3_660


async def test_an_account_may_cost_one_too(door: Door) -> None:
    visitor = Visitor(door)
    refused = await visitor.call("POST", "/v1/accounts")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "challenge_required")
    headers = {HEADER: solve(refused.json()["challenge"])}
    assert (await visitor.call("POST", "/v1/accounts", headers=headers)).status_code == 201
    used = await visitor.call("POST", "/v1/accounts", headers=headers)
    assert (used.status_code, "used before" in used.json()["detail"]) == (403, True)


async def test_where_nothing_wants_a_solution_no_challenge_is_given(redis_url_any: str, tmp_path: Path) -> None:
    async with published(redis_url_any), open_door(door_settings(redis_url_any, tmp_path, "profile: public")) as door:
        assert (await door.call("GET", "/v1/challenge")).status_code == 403
