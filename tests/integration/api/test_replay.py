"""The log that the API records: what the rules saw, exactly, and nothing that names anybody."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from modelpool.queue.connection import connect
from modelpool_api.behaviour.evidence import counted
from modelpool_api.behaviour.replay import Memory, replay
from modelpool_api.behaviour.rules import Evidence, Pattern
from modelpool_api.behaviour.sightings import Sighting, read_lines
from modelpool_api.policy import Behaviour
from modelpool_api.quota.ledger import Charge, Elsewhere, Reserved
from support.ledgers import charge, make_ledger, under
from support.running_api import published
from support.visitors import Door, Visitor, door_settings, open_door

FINGERPRINT = "one-fingerprint-for-all"
WORDS = "confidential words"
PLENTY = under(("visitor", 1_000))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "sightings.jsonl"


@pytest.fixture(params=["off", "shadow"])
async def door(redis_url_any: str, tmp_path: Path, log: Path, request: pytest.FixtureRequest) -> AsyncIterator[Door]:
    """An API that records; whether the rules are looked at is another matter."""
    rules = f"mode: {request.param}, rapidPerMinute: 12, visitorsPerDevice: 3, record: {{file: {log}}}"
    document = f"{{profile: local, behaviour: {{{rules}}}}}"
    async with published(redis_url_any), open_door(door_settings(redis_url_any, tmp_path, document)) as door:
        yield door


def text_of(log: Path) -> str:
    return log.read_text()


def recorded(log: Path) -> list[Sighting]:
    found = list(read_lines(text_of(log).splitlines()))
    assert all(isinstance(one, Sighting) for one in found)
    return [one for one in found if isinstance(one, Sighting)]


async def test_a_request_that_is_sent_on_to_another_pool_is_one_line(
    redis_url_any: str, tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = f"{{profile: local, behaviour: {{record: {{file: {log}}}}}}}"
    async with published(redis_url_any), open_door(door_settings(redis_url_any, tmp_path, document)) as door:
        visitor, headers = Visitor(door, "203.0.113.9", FINGERPRINT), {"Idempotency-Key": "k1"}
        await visitor.ask(prompt=WORDS, headers=headers)
        reserve, tries = door.context.ledger.reserve, 0

        async def first_elsewhere(charge: Charge, *args: Any, **kwargs: Any) -> Reserved:
            nonlocal tries
            tries += 1
            if tries == 1:
                raise Elsewhere(charge.witness)
            return await reserve(charge, *args, **kwargs)

        monkeypatch.setattr(door.context.ledger, "reserve", first_elsewhere)
        assert (await visitor.ask(prompt=WORDS, headers=headers)).status_code == 202
        assert tries == 2
        assert len(recorded(log)) == 2


async def test_each_anonymous_request_is_a_line_and_no_line_names_anybody(door: Door, log: Path) -> None:
    visitor = Visitor(door, "203.0.113.9", FINGERPRINT)
    jobs = [(await visitor.ask(prompt=WORDS)).json()["id"] for _ in range(3)]
    forgetful = Visitor(door, "2001:db8:1:2::3", FINGERPRINT, keeps_cookies=False)
    jobs.append((await forgetful.ask(prompt=WORDS)).json()["id"])
    holder = Visitor(door, key=(await visitor.call("POST", "/v1/accounts")).json()["key"])
    assert (await holder.ask()).status_code == 202
    text = text_of(log)
    assert len(text.splitlines()) == 4
    _, cookie, _, signature = str(visitor.cookie).split(".")
    for named in (*jobs, WORDS, FINGERPRINT, "203.0.113", "2001:db8", cookie, signature, str(holder.key)):
        assert named not in text


async def test_the_log_shows_what_the_metrics_counted(door: Door, log: Path) -> None:
    visitor = Visitor(door, fingerprint=FINGERPRINT)
    for _ in range(15):
        await visitor.ask()
    for _ in range(5):
        await Visitor(door, "198.51.100.7", FINGERPRINT, keeps_cookies=False).ask()
    found = replay(recorded(log), door.context.policy.behaviour)
    assert found.rules[Pattern.RAPID].requests == 3
    assert found.rules[Pattern.CLEARED_COOKIES].requests == 2
    if door.context.policy.behaviour.mode != "off":
        lines = (await door.call("GET", "/metrics")).text.splitlines()
        counted = {line for line in lines if line.startswith("modelpool_unusual_use_total{")}
        assert counted == {
            'modelpool_unusual_use_total{mode="shadow",pattern="rapid"} 3.0',
            'modelpool_unusual_use_total{mode="shadow",pattern="cleared_cookies"} 2.0',
        }


async def test_replay_counts_as_redis_does(redis_url: str) -> None:
    client: Redis = await connect(redis_url)
    ledger, rules = make_ledger(client), Behaviour()
    draw, memory = random.Random(7), Memory()
    told: list[Evidence] = []
    for number in range(400):
        device = draw.choice([None, "d1", "d2"])
        sighting = Sighting(
            at=number,
            who=f"w{draw.randrange(3)}",
            words=f"s{draw.randrange(5)}",
            network=f"n{draw.randrange(6)}",
            device=device,
            fingerprint=device and f"f{draw.randrange(2)}",
            visitor=device and f"v{draw.randrange(9)}",
        )
        watched = counted(sighting, rules)
        await ledger.reserve(charge(), PLENTY, watched=watched, tell=lambda counts: told.append(Evidence(*counts)))
        assert memory.see(sighting) == told[-1]
    await client.aclose()
