"""How much of requests' bodies a process takes in: of one, and of all together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modelpool.errors import ModelpoolError, Overloaded, TooManyRequests
from modelpool_api.body_limit import SMALL, BodyBudget, BodyLimit, let_body_go, own_body
from modelpool_api.problems import problem_response

LARGE = SMALL + 1_000


class Reader:
    """Reads each body whole, that of whoever the path names, and answers when it is told to."""

    def __init__(self, *, keeps: bool = True) -> None:
        self.answer = asyncio.Event()
        self.read = asyncio.Event()
        self._keeps = keeps

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            own_body(request, scope["path"])
            size = len(await request.body())
        except ModelpoolError as error:
            await problem_response(error, scope["path"])(scope, receive, send)
            return
        if not self._keeps:
            let_body_go(request)
        self.read.set()
        await self.answer.wait()
        await PlainTextResponse(str(size))(scope, receive, send)


class Stage:
    """A reader behind a limit that leaves room for one large body of anybody."""

    def __init__(self, *, keeps: bool = True, seconds: float = 30) -> None:
        self.reader = Reader(keeps=keeps)
        self.budget = BodyBudget(2_000)
        transport = httpx.ASGITransport(BodyLimit(self.reader, 10 * SMALL, self.budget, seconds))
        self.http = httpx.AsyncClient(transport=transport, base_url="http://api")

    async def send(self, size: int, whose: str = "/somebody") -> httpx.Response:
        async def pieces() -> AsyncIterator[bytes]:
            for start in range(0, size, 1_000):
                yield b"x" * min(1_000, size - start)

        return await self.http.post(whose, content=pieces())


async def test_more_large_bodies_of_somebody_than_there_is_room_for_are_asked_to_come_again() -> None:
    stage = Stage()
    first = asyncio.create_task(stage.send(LARGE))
    await stage.reader.read.wait()
    refused = await stage.send(LARGE)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "5")
    assert refused.json()["error"]["code"] == "too_many_requests"
    stage.reader.answer.set()
    assert (await first).text == str(LARGE)
    assert (await stage.send(LARGE)).status_code == 200
    assert stage.budget.held == 0


async def test_others_have_room_beside_them_and_are_told_when_it_is_the_crowd_that_fills_it() -> None:
    stage = Stage()
    first = asyncio.create_task(stage.send(LARGE))
    await stage.reader.read.wait()
    stage.reader.read.clear()
    beside = asyncio.create_task(stage.send(SMALL + 500, "/another"))
    await stage.reader.read.wait()
    refused = await stage.send(LARGE, "/a third one")
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
    assert refused.json()["error"]["code"] == "overloaded"
    stage.reader.answer.set()
    assert [answer.status_code for answer in await asyncio.gather(first, beside)] == [200, 200]
    assert stage.budget.held == 0


def take_all(budget: BodyBudget, whose: str, step: int) -> None:
    """As much as ``whose`` gets."""
    with suppress(Overloaded, TooManyRequests):
        while True:
            budget.take(whose, step)


class TestTheRoomForAllBodies:
    def test_somebody_alone_has_half_of_it(self) -> None:
        budget = BodyBudget(100)
        budget.take("a", 50)
        with pytest.raises(TooManyRequests):
            budget.take("a", 1)
        assert budget.held == 50

    @pytest.mark.parametrize("others", [1, 2, 5])
    def test_who_comes_after_others_who_took_all_they_could_has_room_too(self, others: int) -> None:
        budget = BodyBudget(64_000)
        for number in range(others):
            take_all(budget, str(number), 10)
        left = 64_000 - budget.held
        assert left >= 64_000 // 2**others
        budget.take("who comes", left // 2)

    def test_many_who_fill_it_step_by_step_leave_as_much_as_one_of_them_has(self) -> None:
        budget = BodyBudget(100_000)
        for number in [*range(4)] * 100:
            with suppress(Overloaded):
                budget.take(str(number), 1_000)
        assert 100_000 - budget.held == pytest.approx(20_000, abs=1_000)

    def test_what_is_given_back_is_there_for_others(self) -> None:
        budget = BodyBudget(100)
        budget.take("a", 50)
        budget.take("b", 25)
        budget.give_back("a", 50)
        budget.take("c", 30)
        assert budget.held == 55


async def test_a_body_is_theirs_whose_it_is_said_to_be_with_what_has_come_of_it() -> None:
    budget = BodyBudget(2_000)

    async def reads_on(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        own_body(Request(scope, receive), "somebody")
        budget.take("", 500)
        with pytest.raises(TooManyRequests):
            budget.take("somebody", 500)

    sender = Sender(piece(LARGE, more=True))
    await sender.call(reads_on, budget=budget)
    assert budget.held == 500


async def test_small_bodies_are_read_whatever_others_send() -> None:
    stage = Stage()
    first = asyncio.create_task(stage.send(LARGE))
    await stage.reader.read.wait()
    stage.reader.answer.set()
    assert (await stage.send(SMALL)).status_code == 200
    assert (await first).status_code == 200


async def test_who_waits_for_an_answer_does_not_hold_the_room_of_a_body_that_was_read() -> None:
    stage = Stage(keeps=False)
    waiting = [asyncio.create_task(stage.send(LARGE)) for _ in range(3)]
    await stage.reader.read.wait()
    stage.reader.answer.set()
    assert [answer.status_code for answer in await asyncio.gather(*waiting)] == [200] * 3
    assert stage.budget.held == 0


async def test_a_client_that_leaves_in_the_middle_holds_nothing() -> None:
    stage = Stage()

    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * LARGE
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError):
        await stage.http.post("/", content=broken())
    assert stage.budget.held == 0


HASTE = 0.1
"""Seconds in which a body has to come here."""


class Sender:
    """A client that says what it sends, piece by piece, and then neither sends more nor leaves."""

    def __init__(self, *pieces: Message) -> None:
        self._pieces = list(pieces)
        self.left = asyncio.Event()
        self.answer: list[Message] = []

    async def receive(self) -> Message:
        if self._pieces:
            return self._pieces.pop(0)
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.answer.append(message)

    @property
    def status(self) -> int:
        found: int = self.answer[0]["status"]
        return found

    @property
    def closed(self) -> bool:
        """Whether the answer says that the connection ends with it."""
        values = [value for name, value in self.answer[0]["headers"] if name == b"connection"]
        return values == [b"close"]

    async def call(self, app: ASGIApp, *headers: tuple[bytes, bytes], budget: BodyBudget | None = None) -> None:
        scope = {"type": "http", "method": "POST", "path": "/", "headers": headers, "asgi": {"spec_version": "2.3"}}
        await BodyLimit(app, 10 * SMALL, budget or BodyBudget(2_000), HASTE)(scope, self.receive, self.send)


def piece(size: int, *, more: bool) -> Message:
    return {"type": "http.request", "body": b"x" * size, "more_body": more}


async def test_who_leaves_in_the_middle_of_the_body_is_no_failure_of_ours() -> None:
    sender = Sender(piece(LARGE, more=True))
    sender.left.set()
    await sender.call(Reader())
    assert sender.answer == []


async def test_a_body_that_does_not_come_to_its_end_is_given_up_and_its_connection_closed() -> None:
    stage = Stage(seconds=HASTE)

    async def stalled() -> AsyncIterator[bytes]:
        yield b"x" * LARGE
        await asyncio.Event().wait()

    answer = await stage.http.post("/", content=stalled())
    assert (answer.status_code, answer.headers["connection"]) == (408, "close")
    assert answer.json()["error"]["code"] == "body_too_slow"
    assert stage.budget.held == 0


async def test_a_small_body_that_does_not_come_closes_its_connection_too() -> None:
    sender = Sender(piece(1, more=True))

    async def reads(scope: Scope, receive: Receive, send: Send) -> None:
        await Reader()(scope, receive, send)

    await sender.call(reads, (b"content-length", b"2"))
    assert (sender.status, sender.closed) == (408, True)


class TestAnAnswerBeforeTheBody:
    """It came to no more than a part, and its rest is not wanted."""

    @staticmethod
    async def refuses(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await PlainTextResponse("no", 401, {"Connection": "keep-alive"})(scope, receive, send)

    @pytest.mark.parametrize(
        "header",
        [(b"content-length", b"%d" % LARGE), (b"transfer-encoding", b"chunked")],
    )
    async def test_ends_the_connection_when_there_is_much_to_come(self, header: tuple[bytes, bytes]) -> None:
        sender = Sender(piece(10, more=True))
        await sender.call(self.refuses, header)
        assert (sender.status, sender.closed) == (401, True)

    async def test_leaves_the_connection_when_there_is_little(self) -> None:
        sender = Sender(piece(10, more=True))
        await sender.call(self.refuses, (b"content-length", b"%d" % SMALL))
        assert not sender.closed

    async def test_leaves_the_connection_when_all_is_here(self) -> None:
        sender = Sender(piece(LARGE, more=False))
        await sender.call(self.refuses, (b"content-length", b"%d" % LARGE))
        assert not sender.closed

    async def test_leaves_the_connection_of_those_who_send_none(self) -> None:
        sender = Sender()

        async def answers(scope: Scope, receive: Receive, send: Send) -> None:
            await PlainTextResponse("yes")(scope, receive, send)

        await sender.call(answers)
        assert not sender.closed


async def test_a_body_that_trickles_gets_no_more_time() -> None:
    stage = Stage(seconds=HASTE)

    async def trickling() -> AsyncIterator[bytes]:
        while True:
            yield b"x"
            await asyncio.sleep(HASTE / 4)

    assert (await stage.http.post("/", content=trickling())).status_code == 408


async def test_who_has_sent_the_body_may_wait_and_leave_as_late_as_they_like() -> None:
    sender = Sender(piece(LARGE, more=True), piece(0, more=False))

    async def listens(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        await request.body()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2 * HASTE):
                await receive()
        sender.left.set()
        assert await receive() == {"type": "http.disconnect"}
        await PlainTextResponse("")(scope, receive, send)

    await sender.call(listens)
    assert sender.answer[0]["status"] == 200


async def test_an_answer_under_way_ends_when_the_body_that_nobody_read_does_not_come() -> None:
    sender = Sender(piece(1, more=True))

    async def events() -> AsyncIterator[bytes]:
        yield b"first"
        await asyncio.Event().wait()

    await sender.call(StreamingResponse(events()))
    assert [message["type"] for message in sender.answer] == ["http.response.start", "http.response.body"]
