"""Free accounts and issued keys."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from modelpool.errors import QueueUnavailable
from modelpool.queue.connection import connect
from modelpool_api import background
from modelpool_api.accounts import opening, store
from modelpool_api.accounts.keys import parse_key
from modelpool_api.accounts.store import record_key
from support.queues import Clock
from support.running_api import published
from support.visitors import ADMIN, Door, Visitor, door_settings, open_door

KIB = 1024
JSON = {"Content-Type": "application/json"}
AGAIN = {"Idempotency-Key": "0d1c6b1e-6f0a-4c5e-9a53-8f8c1f0f2a11"}
FAST = "burst: {perSecond: 1000, burst: 1000}"
SMALL = f"""
anonymous: {{cookie: 6, fingerprintAndPrefix: 6, prefixWithoutSignals: 6, {FAST}}}
plans:
  account: {{perDay: 10, perPrefix: 14, {FAST}}}
  paid: {{lane: paid, perDay: 20, {FAST}}}
"""


@pytest.fixture
def clock() -> Clock:
    return Clock(20_000 * 86_400_000 + 12 * 3_600_000)


@pytest.fixture
async def door(redis_url: str, tmp_path: Path, clock: Clock) -> AsyncIterator[Door]:
    async with published(redis_url), open_door(door_settings(redis_url, tmp_path, SMALL), clock) as door:
        yield door


async def admin(door: Door, method: str, path: str = "", token: str = ADMIN, **request: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}", **request.pop("headers", {})}
    return await door.call(method, f"/v1/admin/keys{path}", headers=headers, **request)


async def browser(door: Door, address: str = "192.0.2.7", name: str = "f") -> Visitor:
    visitor = Visitor(door, address, fingerprint=name.ljust(32, "_"))
    await visitor.call("GET", "/v1/quota")
    return visitor


class TestAccounts:
    async def test_an_account_has_its_own_lane_and_allowance(self, door: Door) -> None:
        visitor = await browser(door)
        answer = await visitor.call("POST", "/v1/accounts")
        account = answer.json()
        assert answer.status_code == 201
        assert answer.headers["cache-control"] == "no-store"
        assert (account["lane"], account["plan"], account["limit"], account["remaining"]) == (
            "account",
            "account",
            10,
            10,
        )
        holder = Visitor(door, key=account["key"])
        assert (await holder.ask()).json()["lane"] == "account"
        assert await holder.admitted(15) == 9

    async def test_what_was_used_today_without_it_counts(self, door: Door) -> None:
        visitor = await browser(door)
        await visitor.admitted(6)
        account = (await visitor.call("POST", "/v1/accounts")).json()
        assert account["remaining"] == 4
        assert await Visitor(door, key=account["key"]).admitted(10) == 4

    async def test_it_takes_over_the_rest_of_what_its_browser_had_today(self, door: Door) -> None:
        visitor = await browser(door)
        await visitor.admitted(2)
        key = (await visitor.call("POST", "/v1/accounts")).json()["key"]
        assert await visitor.remaining() == 0
        # Whatever the account is used with: a program need not send its browser's cookie.
        assert await Visitor(door, "198.51.100.1", key=key).admitted(10) == 8
        assert await visitor.admitted(3) == 0

    async def test_what_it_uses_the_day_after_counts_for_its_browser_without_it(self, door: Door, clock: Clock) -> None:
        visitor = await browser(door)
        visitor.key = (await visitor.call("POST", "/v1/accounts")).json()["key"]
        clock.pass_seconds(86_400)
        await visitor.admitted(5)
        visitor.key = None
        assert await visitor.remaining() == 1

    async def test_what_others_in_the_network_share_stays_theirs(self, door: Door) -> None:
        first, other = Visitor(door, keeps_cookies=False), Visitor(door, keeps_cookies=False)
        await first.admitted(2)
        assert (await first.call("POST", "/v1/accounts")).json()["remaining"] == 8
        assert await other.admitted(6) == 4

    async def test_one_a_day_for_each_and_a_new_one_tomorrow(self, door: Door, clock: Clock) -> None:
        visitor = await browser(door)
        assert (await visitor.call("POST", "/v1/accounts")).status_code == 201
        again = await visitor.call("POST", "/v1/accounts")
        assert again.status_code == 429
        assert "accounts that one may make a day" in again.json()["detail"]
        clock.pass_seconds(86_400)
        assert (await visitor.call("POST", "/v1/accounts")).status_code == 201

    async def test_a_network_has_five_a_day_and_its_accounts_share_a_ceiling(self, door: Door) -> None:
        visitors = [await browser(door, name=f"person-{number}") for number in range(7)]
        answers = [await visitor.call("POST", "/v1/accounts") for visitor in visitors]
        assert [answer.status_code for answer in answers] == [201] * 5 + [429] * 2
        holders = [Visitor(door, key=answer.json()["key"]) for answer in answers[:5]]
        assert sum([await holder.admitted(10) for holder in holders]) == 14

    async def test_who_has_a_key_is_told_so(self, door: Door) -> None:
        visitor = await browser(door)
        visitor.key = (await visitor.call("POST", "/v1/accounts")).json()["key"]
        assert (await visitor.call("POST", "/v1/accounts")).status_code == 422

    async def test_the_day_after_the_account_still_opens(self, door: Door, clock: Clock) -> None:
        visitor = await browser(door)
        visitor.key = (await visitor.call("POST", "/v1/accounts")).json()["key"]
        await visitor.admitted(10)
        clock.pass_seconds(86_400)
        assert await visitor.remaining() == 10

    @pytest.mark.parametrize("is_done", [True, False], ids=["its reply is lost", "it is not done"])
    @pytest.mark.parametrize("step", ["create", "carry"])
    async def test_one_that_fails_on_its_way_takes_nothing_and_can_be_made_again(
        self, door: Door, monkeypatch: pytest.MonkeyPatch, step: str, is_done: bool
    ) -> None:
        visitor = await browser(door)
        await visitor.admitted(2)
        failing = door.context.keys if step == "create" else door.context.ledger
        usual = getattr(failing, step)

        async def away(*args: Any, **kwargs: Any) -> None:
            if is_done:
                await usual(*args, **kwargs)
            raise QueueUnavailable("Redis is away")

        monkeypatch.setattr(failing, step, away)
        assert (await visitor.call("POST", "/v1/accounts")).status_code == 503
        monkeypatch.undo()
        assert await visitor.remaining() == 4
        again = await visitor.call("POST", "/v1/accounts")
        assert (again.status_code, again.json()["remaining"]) == (201, 8)

    async def test_one_whose_reply_is_lost_for_good_takes_nothing_after_a_minute(
        self, door: Door, monkeypatch: pytest.MonkeyPatch, clock: Clock
    ) -> None:
        visitor = await browser(door)
        await visitor.admitted(2)
        carry = door.context.ledger.carry

        async def done_but_not_heard(*args: Any) -> None:
            await carry(*args)
            await away()

        async def away(*_: Any) -> None:
            raise QueueUnavailable("Redis is away")

        monkeypatch.setattr(door.context.ledger, "carry", done_but_not_heard)
        monkeypatch.setattr(door.context.ledger, "release", away)
        monkeypatch.setattr(door.context.keys, "revoke", away)
        assert (await visitor.call("POST", "/v1/accounts")).status_code == 503
        monkeypatch.undo()
        assert await visitor.remaining() == 0
        clock.pass_seconds(61)
        await background.give_back(door.context)
        assert await visitor.remaining() == 4
        again = await visitor.call("POST", "/v1/accounts")
        assert (again.status_code, again.json()["remaining"]) == (201, 8)

    async def test_one_whose_answer_was_lost_is_shown_again_with_a_new_key(self, door: Door, redis_url: str) -> None:
        visitor = await browser(door)
        await visitor.admitted(2)
        lost = (await visitor.call("POST", "/v1/accounts", headers=AGAIN)).json()
        # On the way to another network, as phones do when they hear no answer.
        answer = await visitor.elsewhere("198.51.100.1").call("POST", "/v1/accounts", headers=AGAIN)
        again = answer.json()
        assert (answer.status_code, answer.headers["idempotency-replayed"]) == (201, "true")
        assert again == {**lost, "key": again["key"]}
        assert again["key"] != lost["key"]
        assert (await Visitor(door, key=lost["key"]).ask()).status_code == 401
        assert await Visitor(door, key=again["key"]).admitted(10) == 8
        assert (await visitor.call("POST", "/v1/accounts")).status_code == 429
        client: Redis = await connect(redis_url)
        kept = await client.hgetall(record_key(lost["id"]))
        await client.aclose()
        for key in (lost["key"], again["key"]):
            parts = parse_key(key)
            assert parts is not None
            assert parts[1] not in str(kept)

    async def test_what_it_has_used_meanwhile_is_told(self, door: Door) -> None:
        visitor = await browser(door)
        key = (await visitor.call("POST", "/v1/accounts", headers=AGAIN)).json()["key"]
        await Visitor(door, key=key).admitted(3)
        assert (await visitor.call("POST", "/v1/accounts", headers=AGAIN)).json()["remaining"] == 7

    async def test_others_do_not_get_it_with_the_same_idempotency_key(self, door: Door) -> None:
        visitor, neighbour = await browser(door), await browser(door)
        mine = (await visitor.call("POST", "/v1/accounts", headers=AGAIN)).json()
        # The same fingerprint in the same network, as identical phones have: the cookie tells them apart.
        theirs = await neighbour.call("POST", "/v1/accounts", headers=AGAIN)
        assert theirs.status_code == 429
        assert (await Visitor(door, key=mine["key"]).ask()).status_code == 202

    async def test_its_key_is_not_given_out_again_later(self, door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
        visitor = await browser(door)
        mine = (await visitor.call("POST", "/v1/accounts", headers=AGAIN)).json()
        monkeypatch.setattr(opening, "LOST_MS", -1)
        later = await visitor.call("POST", "/v1/accounts", headers=AGAIN)
        assert (later.status_code, later.json()["param"]) == (422, "Idempotency-Key")
        assert (await Visitor(door, key=mine["key"]).ask()).status_code == 202

    async def test_an_idempotency_key_that_is_easily_guessed_is_refused(self, door: Door) -> None:
        visitor = await browser(door)
        refused = await visitor.call("POST", "/v1/accounts", headers={"Idempotency-Key": "account"})
        assert (refused.status_code, refused.json()["param"]) == (422, "Idempotency-Key")
        assert (await visitor.call("POST", "/v1/accounts")).status_code == 201

    async def test_one_that_was_not_made_is_made_by_the_repetition(
        self, door: Door, monkeypatch: pytest.MonkeyPatch, clock: Clock
    ) -> None:
        visitor = await browser(door)

        async def away(*_: Any, **__: Any) -> None:
            raise QueueUnavailable("Redis is away")

        monkeypatch.setattr(door.context.keys, "create", away)
        monkeypatch.setattr(door.context.ledger, "release", away)
        assert (await visitor.call("POST", "/v1/accounts", headers=AGAIN)).status_code == 503
        monkeypatch.undo()
        early = await visitor.call("POST", "/v1/accounts", headers=AGAIN)
        assert (early.status_code, early.headers["retry-after"]) == (503, "1")
        clock.pass_seconds(61)
        await background.give_back(door.context)
        assert (await visitor.call("POST", "/v1/accounts", headers=AGAIN)).status_code == 201

    async def test_asking_again_and_again_keeps_the_pace(self, redis_url: str, tmp_path: Path) -> None:
        slow = "anonymous: {burst: {perSecond: 0.001, burst: 4}}"
        async with published(redis_url), open_door(door_settings(redis_url, tmp_path, slow)) as door:
            visitor = await browser(door)
            asked = [await visitor.call("POST", "/v1/accounts", headers=AGAIN) for _ in range(6)]
        assert [answer.status_code for answer in asked] == [201] * 4 + [429] * 2

    async def test_they_can_be_switched_off(self, redis_url: str, tmp_path: Path) -> None:
        settings = door_settings(redis_url, tmp_path, "accounts: {enabled: false}")
        async with published(redis_url), open_door(settings) as door:
            assert (await Visitor(door).call("POST", "/v1/accounts")).status_code == 403


class TestIssuedKeys:
    async def test_a_key_is_shown_once_opens_the_paid_lane_and_is_kept_as_a_hash(
        self, door: Door, redis_url: str
    ) -> None:
        made = (await admin(door, "POST", json={"name": "studio", "plan": "paid"})).json()
        assert (await Visitor(door, key=made["key"]).ask()).json()["lane"] == "paid"
        listed = (await admin(door, "GET")).json()["data"]
        assert [(key["id"], key["name"], "key" in key) for key in listed] == [(made["id"], "studio", False)]
        client: Redis = await connect(redis_url)
        kept = await client.hgetall(f"mpl:{{door}}:key:{made['id']}")
        await client.aclose()
        parts = parse_key(made["key"])
        assert parts is not None
        assert parts[1] not in str(kept)

    async def test_a_rotated_key_has_two_secrets_for_a_while_and_one_allowance(
        self, door: Door, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = (await admin(door, "POST", json={"name": "studio"})).json()
        old = Visitor(door, key=made["key"])
        await old.admitted(3)
        rotated = (await admin(door, "POST", f"/{made['id']}/rotate", json={"graceSeconds": 60})).json()
        new = Visitor(door, key=rotated["key"])
        assert rotated["id"] == made["id"]
        assert rotated["key"] != made["key"]
        assert await new.remaining() == await old.remaining() == 17
        again = (await admin(door, "POST", f"/{made['id']}/rotate", json={"graceSeconds": 0})).json()
        assert (await old.ask()).status_code == (await new.ask()).status_code == 401
        assert await Visitor(door, key=again["key"]).remaining() == 17

    async def test_a_new_secret_opens_at_once_elsewhere_too_where_the_old_one_was_known(
        self, door: Door, redis_url: str, tmp_path: Path
    ) -> None:
        made = (await admin(door, "POST", json={"name": "studio"})).json()
        async with open_door(door_settings(redis_url, tmp_path, SMALL)) as other:
            assert (await Visitor(other, key=made["key"]).ask()).status_code == 202
            rotated = (await admin(door, "POST", f"/{made['id']}/rotate", json={"graceSeconds": 60})).json()
            assert (await Visitor(other, key=rotated["key"]).ask()).status_code == 202
            assert (await Visitor(other, key=made["key"]).ask()).status_code == 202

    async def test_a_revoked_key_opens_nothing_here_at_once_and_elsewhere_soon(
        self, door: Door, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = (await admin(door, "POST", json={"name": "studio"})).json()
        async with open_door(door_settings(redis_url, tmp_path, SMALL)) as other:
            assert (await Visitor(other, key=made["key"]).ask()).status_code == 202
            assert (await admin(door, "DELETE", f"/{made['id']}")).status_code == 204
            assert (await Visitor(door, key=made["key"]).ask()).status_code == 401
            monkeypatch.setattr(store, "KNOWN_SECONDS", 0)
            assert (await Visitor(other, key=made["key"]).ask()).status_code == 401
        assert (await admin(door, "DELETE", f"/{made['id']}")).status_code == 404
        assert (await admin(door, "GET")).json()["data"] == []

    async def test_usage_is_told_by_day(self, door: Door, clock: Clock) -> None:
        made = (await admin(door, "POST", json={"name": "studio"})).json()
        holder = Visitor(door, key=made["key"])
        await holder.admitted(3)
        clock.pass_seconds(86_400)
        await holder.admitted(2)
        usage = (await admin(door, "GET", f"/{made['id']}/usage")).json()
        assert (usage["used"], usage["limit"], usage["remaining"]) == (2, 20, 18)
        assert usage["days"] == {"2024-10-04": 3, "2024-10-05": 2}

    @pytest.mark.parametrize("token", ["", "nope", ADMIN[:-1], ADMIN + "x"])
    async def test_without_the_admin_token_nothing_is_told(self, door: Door, token: str) -> None:
        for method, path in (("GET", ""), ("POST", ""), ("DELETE", "/5f1e0c9a7be2"), ("GET", "/5f1e0c9a7be2/usage")):
            assert (await admin(door, method, path, token)).status_code == 401

    async def test_without_the_admin_token_no_body_is_read(self, door: Door) -> None:
        read = False

        async def body() -> AsyncIterator[bytes]:
            nonlocal read
            read = True
            yield b"{bad"

        for path in ("", "/5f1e0c9a7be2/rotate"):
            answer = await admin(door, "POST", path, "nope", content=body(), headers=JSON)
            assert answer.status_code == 401
        assert not read

    async def test_bodies_are_read_with_the_token_as_far_as_they_are_small(self, door: Door) -> None:
        async def spaces(size: int) -> AsyncIterator[bytes]:
            yield b'{"name": "studio"}'
            for _ in range(size // KIB):
                yield b" " * KIB

        assert (await admin(door, "POST", content=b"{bad", headers=JSON)).status_code == 422
        assert (await admin(door, "POST", content=spaces(15 * KIB), headers=JSON)).status_code == 201
        refused = await admin(door, "POST", content=spaces(16 * KIB), headers=JSON)
        assert (refused.status_code, refused.json()["error"]["code"]) == (413, "body_too_large")
        assert len((await admin(door, "GET")).json()["data"]) == 1

    async def test_where_no_token_is_set_the_admin_api_is_off(self, redis_url: str, tmp_path: Path) -> None:
        settings = replace(door_settings(redis_url, tmp_path, ""), admin_token="")
        async with published(redis_url), open_door(settings) as door:
            for token in ("", "x"):
                assert (await admin(door, "GET", token=token)).status_code == 403

    async def test_what_cannot_be_issued_is_said(self, door: Door) -> None:
        assert (await admin(door, "POST", json={"name": "x", "plan": "gold"})).json()["param"] == "plan"
        assert (await admin(door, "POST", json={"plan": "paid"})).status_code == 422
        assert (await admin(door, "GET", "/..%2f/usage")).status_code in (404, 422)
        assert (await admin(door, "GET", "/5f1e0c9a7be2/usage")).json()["error"]["code"] == "key_not_found"

    async def test_a_plan_that_is_no_longer_offered_is_said(self, door: Door, redis_url: str, tmp_path: Path) -> None:
        made = (await admin(door, "POST", json={"name": "studio"})).json()
        only_free = "plans: {account: {perDay: 1}}"
        async with open_door(door_settings(redis_url, tmp_path, only_free)) as changed:
            answer = await Visitor(changed, key=made["key"]).ask()
        assert answer.status_code == 401
        assert "no longer offered" in answer.json()["detail"]

    @pytest.mark.parametrize("place", [3, 10, 20, -1])
    async def test_a_key_with_another_character_is_no_key(self, door: Door, place: int) -> None:
        key = (await admin(door, "POST", json={"name": "studio"})).json()["key"]
        wrong = list(key)
        wrong[place] = "a" if wrong[place] != "a" else "b"
        assert (await Visitor(door, key="".join(wrong)).ask()).status_code == 401
