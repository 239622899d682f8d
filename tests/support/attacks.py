"""What people try in order to take more than their share, and the honest people beside them.

Each case plays one day against the public admission document, with bursts allowed, and returns how many units of
pictures were let in. ``bound`` is what it may be at most (attacks) and what it must be (honest people). A request costs
ten units unless the case says otherwise.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import altcha
import httpx

from modelpool.queue.redis import RedisQueue
from modelpool.tasks import end
from modelpool_api import background
from modelpool_api.identity.ring import SecretRing
from modelpool_api.inputs import Picture
from support.fake_worker import FakeWorker
from support.openid import Provider, new_key
from support.pictures import picture
from support.queues import Clock
from support.running_api import POOL
from support.solving import HEADER, ask_solving, solve
from support.visitors import ADMIN, SECRET, Door, Visitor
from support.waiting import wait_until

HOME = "203.0.113.9"
PROXY = "10.0.0.1"
PRICE = 10
MODEL = {"model": "poster"}
_fingerprints = itertools.count(1)


@dataclass
class Stage:
    """Where a case plays: a process, more of them if wanted, a clock for quotas, and a worker."""

    door: Door
    clock: Clock
    queue: RedisQueue
    provider: Provider
    another: Callable[[str], Awaitable[Door]]
    """Another process over the same Redis, with these secrets."""

    @property
    def challenge_secret(self) -> bytes:
        """What a case would not know, but for a challenge that we did sign, long ago."""
        return SecretRing.parse(SECRET).derived("challenge")[0]

    def worker(self) -> FakeWorker:
        """A worker for the pictures of the table."""
        return FakeWorker(self.queue, self.door.context.store, (MODEL["model"],))

    def somebody(self, address: str = HOME, **parts: object) -> Visitor:
        """Somebody without cookie or fingerprint who keeps no cookies."""
        return Visitor(self.door, address, keeps_cookies=False, **parts)  # type: ignore[arg-type]  # fields of Visitor

    async def browser(self, address: str = HOME, fingerprint: str | None = None) -> Visitor:
        """Somebody whose page has loaded: with a cookie, and a fingerprint unlike any other unless one is given."""
        visitor = Visitor(self.door, address, fingerprint or new_fingerprint())
        await visitor.call("GET", "/v1/quota")
        return visitor


Play = Callable[[Stage], Awaitable[int]]


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    what: str
    bound: int
    why: str
    play: Play
    admission: str = ""
    """More of the admission document."""


ATTACKS: list[Case] = []
HONEST: list[Case] = []


def attack(what: str, bound: int, why: str, admission: str = "") -> Callable[[Play], Play]:
    """Add a row for somebody who cheats."""
    return _row(ATTACKS, what, bound, why, admission)


def honest(what: str, bound: int, why: str, admission: str = "") -> Callable[[Play], Play]:
    """Add a row for somebody who does not."""
    return _row(HONEST, what, bound, why, admission)


def _row(table: list[Case], what: str, bound: int, why: str, admission: str) -> Callable[[Play], Play]:
    def add(play: Play) -> Play:
        table.append(Case(what, bound, why, play, admission))
        return play

    return add


def new_fingerprint() -> str:
    return f"fingerprint-number-{next(_fingerprints)}"


async def units(visitor: Visitor, tries: int) -> int:
    """Units let in of ``tries`` requests."""
    return PRICE * await visitor.admitted(tries, **MODEL)


async def total(visitors: list[Visitor], tries: int = 1) -> int:
    return sum([await units(visitor, tries) for visitor in visitors])


# --- addresses -------------------------------------------------------------------------------------------------------


@attack("X-Forwarded-For forged, no proxy configured", 50, "the header is not read")
async def forged_header(stage: Stage) -> int:
    forged = [{"X-Forwarded-For": f"198.51.100.{n}", "Forwarded": f"for=198.51.100.{n}"} for n in range(20)]
    return await total([stage.somebody(headers=headers) for headers in forged])


@attack("X-Forwarded-For forged, through the proxy", 50, "it is read from the right; what the proxy added counts")
async def forged_behind_proxy(stage: Stage) -> int:
    forged = [{"X-Forwarded-For": f"198.51.100.{n}, {PROXY}, {HOME}"} for n in range(20)]
    return await total([stage.somebody(PROXY, headers=headers) for headers in forged])


@attack("IPv4 written as IPv6 (::ffff:…) and plain", 50, "it is unwrapped before anything is decided")
async def mapped(stage: Stage) -> int:
    written = [HOME, f"::ffff:{HOME}", "::ffff:cb00:7109", "::FFFF:203.0.113.9"]
    return await total([stage.somebody(address) for address in written], 5)


@attack("IPv6 addresses rotated within one /64", 50, "a household's /64 is one network")
async def rotated_within(stage: Stage) -> int:
    return await total([stage.somebody(f"2001:db8:1:2::{n:x}") for n in range(1, 21)])


@attack("the same, with a fresh cookie and fingerprint each time", 250, "the network's ceiling")
async def rotated_within_with_signals(stage: Stage) -> int:
    return await total([await stage.browser(f"2001:db8:1:2::{n:x}") for n in range(1, 41)])


@attack("IPv6 rotated over 130 networks of one /48", 1_000, "the /48's ceiling")
async def rotated_beyond(stage: Stage) -> int:
    return await total([await stage.browser(f"2001:db8:1:{n:x}::1") for n in range(1, 131)])


# --- cookies and fingerprints ----------------------------------------------------------------------------------------


@attack(
    "cookies dropped, fingerprint forged anew each time", 50, "without a cookie one shares the network's guest units"
)
async def dropped_cookies(stage: Stage) -> int:
    return await total([stage.somebody(fingerprint=new_fingerprint()) for _ in range(20)])


@attack("cookies forged", 50, "an unsigned cookie is a missing one")
async def forged_cookies(stage: Stage) -> int:
    made = [f"modelpool_visitor=1.{n:022d}.1800000000.{'A' * 32}" for n in range(20)]
    return await total([stage.somebody(cookie=cookie, fingerprint=new_fingerprint()) for cookie in made])


@attack("a cookie saved while it was new, and put back", 50, "the count lies with us, not in the cookie")
async def replayed_cookie(stage: Stage) -> int:
    visitor = await stage.browser()
    saved = visitor.cookie
    taken = await units(visitor, 10)
    return taken + await total([stage.somebody(cookie=saved, fingerprint=new_fingerprint()) for _ in range(10)])


@attack("one cookie shared by twenty addresses", 50, "the cookie's own ceiling")
async def shared_cookie(stage: Stage) -> int:
    cookie = (await stage.browser()).cookie
    people = [stage.somebody(f"198.51.100.{n}", cookie=cookie, fingerprint=new_fingerprint()) for n in range(20)]
    return await total(people)


@attack("a fresh cookie for each request, fingerprint missing", 50, "without a fingerprint one shares the guest units")
async def farmed_without_fingerprint(stage: Stage) -> int:
    cookies = [(await stage.browser()).cookie for _ in range(20)]
    return await total([stage.somebody(cookie=cookie) for cookie in cookies])


@attack("a fresh cookie and a forged fingerprint for each request", 250, "the network's ceiling")
async def farmed_signals(stage: Stage) -> int:
    return await total([await stage.browser() for _ in range(40)])


@attack("a fresh cookie each time, one fingerprint", 50, "the ceiling of (fingerprint, network)")
async def one_device(stage: Stage) -> int:
    return await total([await stage.browser(fingerprint="the-same-fingerprint") for _ in range(20)])


@attack("one fingerprint on ten addresses", 500, "50 for each address: as much as ten people have")
async def many_addresses(stage: Stage) -> int:
    people = [await stage.browser(f"198.51.100.{n}", "the-same-fingerprint") for n in range(10)]
    return await total(people, 8)


# --- accounts --------------------------------------------------------------------------------------------------------


async def _account(visitor: Visitor) -> str | None:
    answer = await visitor.call("POST", "/v1/accounts")
    return str(answer.json()["key"]) if answer.status_code == 201 else None


@attack("anonymous units first, then an account", 100, "what was used counts for the new account")
async def account_after(stage: Stage) -> int:
    visitor = await stage.browser()
    taken = await units(visitor, 8)
    visitor.key = await _account(visitor)
    return taken + await units(visitor, 15)


@attack("a key invented for each request", 0, "a key that nobody issued is refused, and never taken for no key")
async def invented_keys(stage: Stage) -> int:
    made = [f"mp_{n:012x}_{n:032x}" for n in range(10)] + [f"a-key-of-nobody-{n}" for n in range(10)]
    answers = [await stage.somebody(key=key).ask(**MODEL) for key in made]
    assert {answer.status_code for answer in answers} <= {202, 401}
    return PRICE * sum(answer.status_code == 202 for answer in answers)


@attack(
    "an account first, then the same browser without it", 100, "the account took over the day's units of its browser"
)
async def account_before(stage: Stage) -> int:
    visitor = await stage.browser()
    visitor.key = await _account(visitor)
    taken = await units(visitor, 15)
    visitor.key = None
    return taken + await units(visitor, 8)


@attack(
    "an account used by a program without cookie and fingerprint, then the browser that made it",
    100,
    "the same: nothing was left to the browser",
)
async def account_hidden(stage: Stage) -> int:
    browser = await stage.browser()
    program = stage.somebody("198.51.100.1", key=await _account(browser))
    return await units(program, 15) + await units(browser, 8)


@attack(
    "the same on the next day",
    150,
    "two allowances: as much as with the account and a fresh identity",
)
async def account_hidden_tomorrow(stage: Stage) -> int:
    browser = await stage.browser()
    program = stage.somebody("198.51.100.1", key=await _account(browser))
    stage.clock.pass_seconds(86_400)
    return await units(program, 15) + await units(browser, 8)


@attack(
    "an account made without cookie and fingerprint, and its network's guest units beside it",
    150,
    "guest units are the network's, and whoever comes first has them",
)
async def account_of_a_guest(stage: Stage) -> int:
    guest = stage.somebody()
    return await units(stage.somebody("198.51.100.1", key=await _account(guest)), 15) + await units(guest, 8)


@attack(
    "accounts farmed with forged identities on one network",
    750,
    "five accounts a day; their ceiling, and the network's",
)
async def account_farm(stage: Stage) -> int:
    farmers = [await stage.browser() for _ in range(12)]
    keys = [key for farmer in farmers if (key := await _account(farmer)) is not None]
    taken = await total([stage.somebody(key=key) for key in keys], 12)
    return taken + await total([await stage.browser() for _ in range(30)])


# --- tokens ----------------------------------------------------------------------------------------------------------


async def _refused(stage: Stage, *tokens: str) -> int:
    """Units let in with tokens that are not good; each must be told so."""
    answers = [await stage.somebody(key=token).ask(**MODEL) for token in tokens]
    assert {answer.status_code for answer in answers} <= {202, 401}
    return PRICE * sum(answer.status_code == 202 for answer in answers)


@attack("a token of another issuer, or one signed by a key of one's own", 0, "only the provider's keys count")
async def forged_issuer(stage: Stage) -> int:
    own = new_key()
    other = "https://evil.example"
    made = [
        stage.provider.token(iss=other),
        stage.provider.token(signed_by=own),
        stage.provider.token(signed_by=own, iss=other),
    ]
    return await _refused(stage, *made)


@attack("a token that the provider made for another service", 0, "its audience is not us")
async def foreign_audience(stage: Stage) -> int:
    return await _refused(stage, stage.provider.token(aud="another"), stage.provider.token(aud=["one", "another"]))


@attack("a token without a signature, or signed with the public key", 0, "only the algorithms that the operator names")
async def weak_algorithm(stage: Stage) -> int:
    return await _refused(stage, stage.provider.unsigned(), stage.provider.signed_with_what_is_public())


@attack("a token whose time is over, or that has none", 0, "it ends when it says")
async def expired_token(stage: Stage) -> int:
    return await _refused(stage, stage.provider.token(exp=1), stage.provider.token(exp=None))


@attack(
    "one token replayed from twenty addresses, and fresh ones of the same person", 100, "the person's own allowance"
)
async def replayed_token(stage: Stage) -> int:
    token = stage.provider.token()
    everywhere = [stage.somebody(f"198.51.100.{n}", key=token) for n in range(20)]
    fresh = [await stage.browser(f"203.0.113.{n}") for n in range(10)]
    for n, browser in enumerate(fresh):
        browser.key = stage.provider.token(jti=f"token-{n}")
    return await total(everywhere) + await total(fresh)


# --- asking again and taking back ------------------------------------------------------------------------------------


@attack("one Idempotency-Key for everything", 50, "the same body is the same job, another body is refused")
async def repeated_key(stage: Stage) -> int:
    visitor = await stage.browser()
    jobs: set[str] = set()
    for number in range(20):
        for body in ("the same", f"other words {number}"):
            answer = await visitor.ask(prompt=body, headers={"Idempotency-Key": f"key-{number % 7}"}, **MODEL)
            if answer.status_code in (200, 202):
                jobs.add(answer.json()["id"])
    return PRICE * len(jobs)


@attack("forty equal requests at one moment under one key, one unit price left", 50, "one job, one charge")
async def repeated_at_once(stage: Stage) -> int:
    visitor = await stage.browser()
    taken = await units(visitor, 4)
    headers = {"Idempotency-Key": "key"}
    answers = await asyncio.gather(*(visitor.ask(prompt="x", headers=headers, **MODEL) for _ in range(40)))
    jobs = {answer.json()["id"] for answer in answers if answer.status_code in (200, 202)}
    return taken + PRICE * len(jobs) + await units(visitor, 3)


@attack("cancelled while running to get the units back", 50, "a job that has begun is not refunded")
async def cancelled_running(stage: Stage) -> int:
    visitor = await stage.browser()
    worker = stage.worker()
    begun = 0
    for _ in range(10):
        answer = await visitor.ask(**MODEL)
        if answer.status_code != 202:
            continue
        begun += len((await worker.claim()).jobs)
        await visitor.call("DELETE", answer.json()["links"]["self"])
        await background.give_back(stage.door.context)
    return PRICE * begun


@attack("asked and cancelled in a loop: pictures begun", 50, "what waits is refunded, and computes nothing")
async def cancelled_waiting(stage: Stage) -> int:
    visitor = await stage.browser()
    for _ in range(20):
        answer = await visitor.ask(**MODEL)
        await visitor.call("DELETE", answer.json()["links"]["self"])
        await background.give_back(stage.door.context)
    return await units(visitor, 10)


# --- pictures to read ------------------------------------------------------------------------------------------------

BREAKS_OFF = {"image": {"base64": base64.b64encode(picture("PNG", (64, 64))[:-30]).decode()}}


def _note_reads(door: Door, before: Callable[[], Awaitable[object]] | None = None) -> list[bytes | str]:
    """The images that are decoded there from now on, in their order; each waits for ``before``."""
    inputs, read = door.context.inputs, door.context.inputs.read
    images: list[bytes | str] = []

    async def noted(image: bytes | str) -> Picture:
        images.append(image)
        if before is not None:
            await before()
        return await read(image)

    inputs.read = noted  # type: ignore[method-assign]  # the stage ends with its case
    return images


def _spend_late(door: Door) -> None:
    """Whoever waits for Redis's answer has it before Redis hears that a picture was decoded for nothing."""
    ledger, spend = door.context.ledger, door.context.ledger.spend

    async def late(charge: str) -> bool:
        for _ in range(50):
            await ledger.extend("of-nobody")
        return await spend(charge)

    ledger.spend = late  # type: ignore[method-assign]  # the stage ends with its case


@attack(
    "pictures that break off behind their header, on and on: units of those that are decoded",
    50,
    "whoever has a picture decoded for nothing has paid for it",
)
async def broken_pictures(stage: Stage) -> int:
    visitor, images = await stage.browser(), _note_reads(stage.door)
    answers = [(await visitor.ask(**BREAKS_OFF, **MODEL)).status_code for _ in range(20)]
    assert set(answers) == {422, 429}
    return PRICE * len(images)


@attack(
    "the same, four at one moment under one Idempotency-Key",
    50,
    "who repeats a request whose picture was broken pays anew, and who repeats it too early has nothing decoded",
)
async def broken_pictures_repeated(stage: Stage) -> int:
    visitor, images = await stage.browser(), _note_reads(stage.door)
    _spend_late(stage.door)
    same = {"prompt": "x", "headers": {"Idempotency-Key": "key"}, **BREAKS_OFF, **MODEL}
    for _ in range(10):
        answers = await asyncio.gather(*(visitor.ask(**same) for _ in range(4)))
        assert {answer.status_code for answer in answers} <= {422, 429, 503}
    return PRICE * len(images)


@attack(
    "the same, through two replicas",
    50,
    "the units of a request let its picture be decoded in one place at a time",
)
async def broken_pictures_in_two_places(stage: Stage) -> int:
    doors = [stage.door, await stage.another(SECRET)]
    visitor = await stage.browser()
    images = [_note_reads(door) for door in doors]
    same = {"prompt": "x", "headers": {"Idempotency-Key": "key"}, **BREAKS_OFF, **MODEL}
    for door in doors:
        _spend_late(door)
    for _ in range(10):
        visitors = [replace(visitor, door=door) for door in doors * 2]
        answers = await asyncio.gather(*(one.ask(**same) for one in visitors))
        assert {answer.status_code for answer in answers} <= {422, 429, 503}
    return PRICE * sum(map(len, images))


@attack(
    "twelve pictures from one network at one moment: units of those read before the picture of somebody elsewhere",
    10,
    "networks take turns at the decoder: one waits for the picture in it, and for one of each other network",
)
async def decoder_taken(stage: Stage) -> int:
    goes_on, theirs = asyncio.Event(), picture("PNG", (32, 32), "blue")
    images = _note_reads(stage.door, goes_on.wait)
    crowd = [await stage.browser() for _ in range(12)]
    honest = await stage.browser("198.51.100.1")
    image = {"base64": base64.b64encode(picture()).decode()}
    asked = [asyncio.create_task(visitor.ask(image=image, **MODEL)) for visitor in crowd]
    asked.append(asyncio.create_task(honest.ask(image={"base64": base64.b64encode(theirs).decode()}, **MODEL)))

    async def all_have_paid() -> bool:
        return [await visitor.remaining() for visitor in (*crowd, honest)] == [50 - PRICE] * 13

    await wait_until(all_have_paid)
    goes_on.set()
    assert {(await one).status_code for one in asked} == {202}
    return PRICE * images.index(theirs)


# --- large bodies ----------------------------------------------------------------------------------------------------

MIB = 1024 * 1024
PIECE = 64 * 1024


async def _upload(visitor: Visitor, body: bytes, before_the_end: Callable[[], Awaitable[object]]) -> httpx.Response:
    """Send ``body`` piece by piece; the last waits for something."""
    *pieces, last = [body[start : start + PIECE] for start in range(0, len(body), PIECE)]

    async def sent() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece
            await asyncio.sleep(0)  # others send at the same moment
        await before_the_end()
        yield last

    return await visitor.call("POST", "/v1/jobs", content=sent(), headers={"Content-Type": "application/json"})


@asynccontextmanager
async def _unended(visitors: Sequence[Visitor]) -> AsyncIterator[None]:
    """A body of 1 MiB from each within the block, which does not come to its end as long as it is not refused."""
    stalled: list[Visitor] = []

    async def one(visitor: Visitor) -> None:
        async def stall() -> None:
            stalled.append(visitor)
            await asyncio.Event().wait()

        assert (await _upload(visitor, bytes(MIB), stall)).status_code in (429, 503)

    sending = [asyncio.create_task(one(visitor)) for visitor in visitors]
    try:
        await wait_until(lambda: len(stalled) + sum(task.done() for task in sending) == len(sending))
        assert stalled
        for task in sending:
            assert not task.done() or task.exception() is None
        yield
    finally:
        await end(*sending)


async def _at_once() -> None:
    """Nothing is waited for."""


def _photo(mebibytes: int) -> bytes:
    """A request with a picture of so many bytes."""
    image = picture() + bytes(mebibytes * MIB)
    return json.dumps({"prompt": "x", "image": {"base64": base64.b64encode(image).decode()}, **MODEL}).encode()


async def _large_picture(visitor: Visitor) -> int:
    """Units let in of a request with a picture of 2 MiB."""
    answer = await _upload(visitor, _photo(2), _at_once)
    assert answer.status_code in (202, 429, 503), answer.text
    return PRICE * (answer.status_code == 202)


@attack(
    "eighty bodies of 1 MiB that do not end, from one network: units of a large picture from elsewhere, turned away meanwhile",
    0,
    "no network holds more of the room for bodies than it leaves to others",
)
async def bodies_without_end(stage: Stage) -> int:
    honest = await stage.browser("198.51.100.1")
    async with _unended([stage.somebody() for _ in range(80)]):
        return PRICE - await _large_picture(honest)


@attack(
    "thirty of them from each of six networks, one of which is an IPv6 /48",
    0,
    "each holds a seventh, and as much is left",
)
async def bodies_of_many(stage: Stage) -> int:
    honest = await stage.browser("198.51.100.1")
    networks = [stage.somebody(f"203.0.113.{n}") for n in range(5) for _ in range(30)]
    site = [stage.somebody(f"2001:db8:1:{n:x}::1") for n in range(30)]
    async with _unended([*networks, *site]):
        return PRICE - await _large_picture(honest)


# --- a full lane ----------------------------------------------------------------------------------------------------

FULL = "overload: {anonymous: 0.0001}"
"""A single job fills the lane."""


async def _fill(stage: Stage) -> str:
    """Fill the lane of the anonymous; returns the job that does."""
    answer = await stage.somebody("192.0.2.1", key=await _paid_key(stage)).ask(**MODEL)
    assert answer.status_code == 202
    return str(answer.json()["links"]["self"])


async def _paid_key(stage: Stage) -> str:
    admin = {"Authorization": f"Bearer {ADMIN}"}
    answer = await stage.door.call("POST", "/v1/admin/keys", json={"name": "paid", "plan": "paid"}, headers=admin)
    return str(answer.json()["key"])


async def _demand(stage: Stage) -> int:
    """How many requests count as demand."""
    pattern = POOL.key("demand", "*")
    minutes = [await stage.queue.client.hgetall(key) async for key in stage.queue.client.scan_iter(pattern)]
    return sum(int(counts[MODEL["model"]]) for counts in minutes)


@attack(
    "asked on and on while there is no room, to look like a crowd: units that count as demand",
    50,
    "what is turned away counts as far as the units last that would have been paid",
    FULL,
)
async def demand_made_up(stage: Stage) -> int:
    visitor = await stage.browser()
    await _fill(stage)
    before = await _demand(stage)
    assert {(await visitor.ask(**MODEL)).status_code for _ in range(30)} == {503}
    return PRICE * (await _demand(stage) - before)


@attack(
    "the same with fresh identities",
    250,
    "the network's ceiling",
    FULL,
)
async def demand_made_up_by_many(stage: Stage) -> int:
    crowd = [await stage.browser() for _ in range(40)]
    await _fill(stage)
    before = await _demand(stage)
    assert {(await visitor.ask(**MODEL)).status_code for visitor in crowd} == {503}
    return PRICE * (await _demand(stage) - before)


# --- time, replicas, secrets -----------------------------------------------------------------------------------------


@attack("500 requests, fifty at a time, 13 of 50 units used (a unit each)", 50, "all ceilings are charged in one step")
async def at_once(stage: Stage) -> int:
    visitor = await stage.browser()
    taken = await visitor.admitted(13)
    turn = asyncio.Semaphore(50)

    async def one() -> httpx.Response:
        async with turn:
            return await visitor.ask()

    answers = await asyncio.gather(*(one() for _ in range(500)))
    return taken + sum(answer.status_code in (200, 202) for answer in answers)


@attack("both sides of midnight UTC", 100, "two days, two allowances")
async def midnight(stage: Stage) -> int:
    visitor = await stage.browser()
    stage.clock.pass_seconds(12 * 3600 - 0.001)
    before = await units(visitor, 8)
    stage.clock.pass_seconds(0.001)
    return before + await units(visitor, 8)


@attack("two replicas, one of which thinks it is still yesterday", 50, "the day is Redis's, and each is corrected")
async def skewed(stage: Stage) -> int:
    visitor = await stage.browser()
    await visitor.ask(**MODEL)
    stage.clock.pass_seconds(86_400)
    # A process started now knows the day; the first one's own clock says yesterday.
    other = Visitor(await stage.another("a-secret-for-the-tests"), HOME, visitor.fingerprint, cookie=visitor.cookie)
    return sum([await units(one, 1) for _ in range(10) for one in (visitor, other)])


@attack("the secret rotated in the middle of the day", 50, "the day's key stays until midnight; old cookies are read")
async def rotated_secret(stage: Stage) -> int:
    visitor = await stage.browser()
    taken = await units(visitor, 2)
    rotated = await stage.another("the-new-secret-of-the-tests,a-secret-for-the-tests")
    other = Visitor(rotated, HOME, visitor.fingerprint, cookie=visitor.cookie)
    taken += sum([await units(one, 1) for _ in range(5) for one in (visitor, other)])
    assert other.cookie != visitor.cookie  # signed anew, and read by both
    return taken + await units(Visitor(rotated, HOME, visitor.fingerprint, cookie=other.cookie), 3)


# --- challenges ------------------------------------------------------------------------------------------------------

CHALLENGED = """
behaviour: {mode: enforce, answer: challenge, rapidPerMinute: 2}
challenge: {cost: 1}
"""
"""The third request of a minute needs a solution, and so does each after it: 20 units come without."""


async def _challenge(visitor: Visitor) -> dict[str, Any]:
    challenge: dict[str, Any] = (await visitor.call("GET", "/v1/challenge")).json()
    return challenge


async def _tried(visitor: Visitor, solutions: Sequence[str]) -> int:
    """Units let in of a request with each of the solutions."""
    return sum([await units(replace(visitor, headers={HEADER: solution}), 1) for solution in solutions])


@attack("an unusual request without a solution", 20, "it is answered with a challenge", CHALLENGED)
async def unsolved(stage: Stage) -> int:
    return await units(await stage.browser(), 10)


@attack("one solution, ten times", 30, "a solution is good for one request", CHALLENGED)
async def replayed_solution(stage: Stage) -> int:
    visitor = await stage.browser()
    taken = await units(visitor, 2)
    return taken + await _tried(visitor, [solve(await _challenge(visitor))] * 10)


@attack("one solution, in twenty requests at one moment", 30, "the first takes it", CHALLENGED)
async def replayed_at_once(stage: Stage) -> int:
    visitor = await stage.browser()
    taken = await units(visitor, 2)
    one = replace(visitor, headers={HEADER: solve(await _challenge(visitor))})
    return taken + sum(await asyncio.gather(*(units(one, 1) for _ in range(20))))


@attack(
    "challenges made up, signed by a guess, or made cheaper and longer",
    20,
    "the signature covers all of it",
    CHALLENGED,
)
async def forged_challenges(stage: Stage) -> int:
    visitor = await stage.browser()
    taken = await units(visitor, 2)
    given = await _challenge(visitor)
    changes: list[dict[str, object]] = [{"expiresAt": 2**33}, {"keyPrefix": ""}, {"algorithm": "SHA-256"}, {"data": {}}]
    forged = [solve(given | {"parameters": given["parameters"] | change}) for change in changes]
    unsigned = {"parameters": given["parameters"]}
    return taken + await _tried(visitor, [*forged, solve(unsigned), solve(unsigned | {"signature": "0" * 64})])


@attack("solutions guessed rather than computed", 20, "the key is derived again", CHALLENGED)
async def guessed(stage: Stage) -> int:
    visitor = await stage.browser()
    taken = await units(visitor, 2)
    given = altcha.Challenge.from_dict(await _challenge(visitor))
    made_up = [altcha.Payload(given, altcha.Solution(n, f"00{n:062x}")).to_base64() for n in range(10)]
    return taken + await _tried(visitor, made_up)


@attack("solutions that come too late", 20, "a challenge ends after ten minutes", CHALLENGED)
async def late_solutions(stage: Stage) -> int:
    visitor = await stage.browser()
    taken = await units(visitor, 2)
    late = altcha.create_challenge("PBKDF2/SHA-256", 1, expires_at=1, hmac_secret=stage.challenge_secret)
    return taken + await _tried(visitor, [solve(late.to_dict())] * 3)


@attack("solutions bought from others", 20, "a challenge is for whoever asked for it", CHALLENGED)
async def bought_solutions(stage: Stage) -> int:
    visitor = await stage.browser()
    taken = await units(visitor, 2)
    sellers = [await stage.browser(f"198.51.100.{n}") for n in range(5)]
    return taken + await _tried(visitor, [solve(await _challenge(seller)) for seller in sellers])


@attack("every challenge solved by a program", 50, "work lets it in, and buys nobody a larger share", CHALLENGED)
async def solved_by_program(stage: Stage) -> int:
    visitor = await stage.browser()
    return PRICE * sum([(await ask_solving(visitor, **MODEL)).is_success for _ in range(10)])


# --- honest people ---------------------------------------------------------------------------------------------------


@honest("a browser that has loaded the page", 50, "all of it")
async def a_browser(stage: Stage) -> int:
    return await units(await stage.browser(), 8)


@honest("the same browser in haste, whose page solves what it is asked", 50, "a moment of computing each", CHALLENGED)
async def in_haste(stage: Stage) -> int:
    visitor = await stage.browser()
    return PRICE * sum([(await ask_solving(visitor, **MODEL)).is_success for _ in range(8)])


@honest("a privacy browser: no cookies, no fingerprint", 50, "shared with others like it in the same network")
async def privacy_browser(stage: Stage) -> int:
    return await units(stage.somebody(), 8)


@honest("a browser that was turned away thirty times while there was no room", 50, "nothing was charged", FULL)
async def turned_away(stage: Stage) -> int:
    visitor = await stage.browser()
    job = await _fill(stage)
    assert {(await visitor.ask(**MODEL)).status_code for _ in range(30)} == {503}
    assert (await stage.door.call("DELETE", job)).status_code == 200

    async def let_in() -> bool:
        return (await visitor.ask(**MODEL)).status_code == 202

    taken = 0
    while await visitor.remaining():
        # Its own job fills the lane, too.
        await wait_until(let_in)
        taken += PRICE
        await stage.worker().finish(await stage.worker().claim())
    return taken


@honest("somebody who signs in with the provider", 100, "an allowance of their own, whatever their network has used")
async def signed_in(stage: Stage) -> int:
    await farmed_signals(stage)
    return await units(stage.somebody(key=stage.provider.token()), 15)


@honest(
    "the same, whose program repeats its last request of the day after midnight, then goes on",
    110,
    "the repeat is the same job; the new day is whole",
)
async def signed_in_over_midnight(stage: Stage) -> int:
    person = stage.somebody(key=stage.provider.token())
    stage.clock.pass_seconds(12 * 3600 - 0.001)
    last = {"prompt": "the last", "headers": {"Idempotency-Key": "the-last"}, **MODEL}
    jobs = {(await person.ask(**last)).json()["id"]}
    stage.clock.pass_seconds(0.001)
    jobs.add((await person.ask(**last)).json()["id"])
    return PRICE * len(jobs) + await units(person, 15)


@honest("five people in an office behind one address", 250, "50 each")
async def office(stage: Stage) -> int:
    taken = [await units(person, 8) for person in [await stage.browser() for _ in range(5)]]
    assert taken == [50] * 5
    return sum(taken)


@honest("the sixth person in that office", 0, "the network's 250 are used up; an account has its own")
async def sixth(stage: Stage) -> int:
    await office(stage)
    return await units(await stage.browser(), 8)


@honest("that sixth person with a free account", 100, "an allowance of its own")
async def sixth_with_account(stage: Stage) -> int:
    await office(stage)
    person = await stage.browser()
    person.key = await _account(person)
    return await units(person, 15)


@honest(
    "ten people in an office behind one address who send photos of 4 MiB at one moment",
    100,
    "a network alone has half of the room for bodies: 64 MiB",
)
async def office_with_photos(stage: Stage) -> int:
    people, all_are_held = [await stage.browser() for _ in range(10)], asyncio.Barrier(10)
    answers = await asyncio.gather(*(_upload(person, _photo(4), all_are_held.wait) for person in people))
    return PRICE * sum(answer.status_code == 202 for answer in answers)


@honest(
    "somebody with words alone in a network whose large bodies do not end",
    50,
    "the first 64 KiB of a body always have room",
)
async def words_beside_bodies(stage: Stage) -> int:
    person = await stage.browser()
    async with _unended([stage.somebody() for _ in range(80)]):
        return await units(person, 8)


@honest(
    "the same with a large picture",
    0,
    "the network's part is taken, for 30 seconds at most; another network or a paying key has its own",
)
async def picture_beside_bodies(stage: Stage) -> int:
    person, paying = await stage.browser(), stage.somebody(key=await _paid_key(stage))
    async with _unended([stage.somebody() for _ in range(80)]):
        assert await _large_picture(paying) == PRICE
        return await _large_picture(person)


@honest("ten identical phones, each in its own network", 500, "50 each: a fingerprint alone is no ceiling")
async def identical_phones(stage: Stage) -> int:
    phones = [await stage.browser(f"198.51.100.{n}", "the-same-phone-model") for n in range(10)]
    return await total(phones, 8)


@honest("two identical phones in one network", 50, "they share the units of (fingerprint, network)")
async def phones_at_home(stage: Stage) -> int:
    return await total([await stage.browser(fingerprint="the-same-phone-model") for _ in range(2)], 8)


@honest("a phone that changes its network five times", 50, "its cookie goes with it")
async def travelling(stage: Stage) -> int:
    phone = await stage.browser()
    return await total([phone.elsewhere(f"198.51.100.{n}") for n in range(5)], 3)


@honest(
    "a browser beside a farm that has used up the network",
    0,
    "the 250 of the network are gone; a free account has its own",
)
async def beside_a_farm(stage: Stage) -> int:
    await farmed_signals(stage)
    return await units(await stage.browser(), 8)


@honest(
    "a privacy browser beside somebody in its network who drops cookies",
    0,
    "the guest units are gone; a browser with both signals has its own",
)
async def privacy_browser_beside(stage: Stage) -> int:
    await dropped_cookies(stage)
    assert await units(await stage.browser(), 8) == 50
    return await units(stage.somebody(), 8)


@honest("the same with a free account", 100, "an allowance of its own")
async def privacy_browser_with_account(stage: Stage) -> int:
    await dropped_cookies(stage)
    key = await _account(await stage.browser())
    return await units(stage.somebody(key=key), 15)


@honest(
    "a phone beside an attacker elsewhere who has taken on its fingerprint",
    50,
    "a fingerprint counts together with its network",
)
async def phone_beside(stage: Stage) -> int:
    people = [await stage.browser(f"198.51.100.{n}", "the-same-phone-model") for n in range(10)]
    await total(people, 8)
    return await units(await stage.browser(fingerprint="the-same-phone-model"), 8)


@honest("an IPv6 household beside one that rotates within its own /64", 50, "another /64 is another network")
async def household_beside(stage: Stage) -> int:
    await rotated_within_with_signals(stage)
    return await units(await stage.browser("2001:db8:1:3::1"), 8)


@honest("an IPv6 household whose provider's /48 is used up", 0, "the /48's 1,000 are gone; a free account has its own")
async def household_in_a_farm(stage: Stage) -> int:
    await rotated_beyond(stage)
    return await units(await stage.browser("2001:db8:1:ffff::1"), 8)
