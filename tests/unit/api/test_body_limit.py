"""How much of requests' bodies a process takes in: of one, and of all together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from modelpool.errors import ModelpoolError
from modelpool_api.body_limit import SMALL, BodyBudget, BodyLimit, let_body_go
from modelpool_api.problems import problem_response

LARGE = SMALL + 1_000


class Reader:
    """Reads each body whole, and answers when it is told to."""

    def __init__(self, *, keeps: bool = True) -> None:
        self.answer = asyncio.Event()
        self.read = asyncio.Event()
        self._keeps = keeps

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
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
    """A reader behind a limit that leaves room for one large body."""

    def __init__(self, *, keeps: bool = True) -> None:
        self.reader = Reader(keeps=keeps)
        self.budget = BodyBudget(1_000)
        transport = httpx.ASGITransport(BodyLimit(self.reader, 10 * SMALL, self.budget))
        self.http = httpx.AsyncClient(transport=transport, base_url="http://api")

    async def send(self, size: int) -> httpx.Response:
        async def pieces() -> AsyncIterator[bytes]:
            for start in range(0, size, 1_000):
                yield b"x" * min(1_000, size - start)

        return await self.http.post("/", content=pieces())


async def test_more_large_bodies_than_there_is_room_for_are_asked_to_come_again() -> None:
    stage = Stage()
    first = asyncio.create_task(stage.send(LARGE))
    await stage.reader.read.wait()
    refused = await stage.send(LARGE)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
    assert refused.json()["error"]["code"] == "overloaded"
    stage.reader.answer.set()
    assert (await first).text == str(LARGE)
    assert (await stage.send(LARGE)).status_code == 200
    assert stage.budget.held == 0


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
