"""What a connection may send before its request is one: so much, and so long. Behind a real uvicorn."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpx
import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from modelpool_api.http_protocol import MAX_HEAD_BYTES, HttpProtocol
from support import unused_port, wait_until
from support.waiting import PATIENCE_SECONDS

KIB = 1024
START = b"POST /v1/jobs HTTP/1.1\r\nHost: a\r\n"
PATIENCE = 1024 * KIB
"""Bytes that a flood sends before it is taken for one that nobody stops."""


class Hasty(HttpProtocol):
    """Waits for a head, or for who is still sending, a moment only."""

    head_seconds = 0.1
    linger_seconds = 0.1


class Server:
    """An application that reads each body whole, and answers with its size when it is told to; or refuses to read it."""

    def __init__(self) -> None:
        self.port = unused_port()
        self.answer = asyncio.Event()
        self.answer.set()
        self.asked = asyncio.Event()
        self.connections: set[object] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/refused":
            await PlainTextResponse("no", 401, {"Connection": "close"})(scope, receive, send)
            return
        size = len(await Request(scope, receive).body())
        self.asked.set()
        await self.answer.wait()
        await PlainTextResponse(str(size))(scope, receive, send)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield reader, writer
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def ask(self, *pieces: bytes) -> bytes:
        """All that is answered until the connection is closed."""
        async with self.connection() as (reader, writer):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            return await reader.read()

    async def flood(self, start: bytes, piece: bytes) -> int:
        """How many bytes after ``start`` are taken before the connection is closed."""
        async with self.connection() as (reader, writer):
            writer.write(start)
            closed = asyncio.create_task(reader.read())
            sent = 0
            with suppress(ConnectionError):
                while sent < PATIENCE and not closed.done():
                    writer.write(piece)
                    sent += len(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
            closed.cancel()
            with suppress(asyncio.CancelledError, ConnectionError):
                await closed
            return sent


@asynccontextmanager
async def serving(protocol: type[HttpProtocol]) -> AsyncIterator[Server]:
    app = Server()
    server = uvicorn.Server(uvicorn.Config(app, port=app.port, http=protocol, log_config=None, lifespan="off"))
    task = asyncio.create_task(server.serve())
    try:
        await wait_until(lambda: server.started)
        app.connections = server.server_state.connections  # type: ignore[assignment]  # only its size is looked at
        yield app
    finally:
        server.should_exit = True
        await task


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with serving(HttpProtocol) as server:
        yield server


@pytest.fixture
async def hasty() -> AsyncIterator[Server]:
    async with serving(Hasty) as server:
        yield server


def head(size: int) -> bytes:
    """A whole head that counts ``size`` bytes or a few more, in headers of a KiB."""
    lines = [b"X-%d: %s\r\n" % (i, b"x" * (KIB - 8)) for i in range(size // KIB)]
    return START + b"Connection: close\r\nContent-Length: 0\r\n" + b"".join(lines) + b"\r\n"


async def test_a_head_of_an_ordinary_size_is_read(server: Server) -> None:
    answer = await server.ask(head(MAX_HEAD_BYTES - 2 * KIB))
    assert answer.startswith(b"HTTP/1.1 200 ")


async def test_bodies_do_not_count_however_they_come(server: Server) -> None:
    start = START + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % (10 * MAX_HEAD_BYTES)
    answer = await server.ask(start, *[b"x" * MAX_HEAD_BYTES] * 10)
    assert answer.endswith(b"\r\n\r\n%d" % (10 * MAX_HEAD_BYTES))


async def test_requests_of_one_connection_count_each_for_itself(server: Server) -> None:
    async with server.connection() as (reader, writer):
        for _ in range(3):
            writer.write(head(MAX_HEAD_BYTES // 2).replace(b"Connection: close\r\n", b""))
            answer = await reader.readuntil(b"\r\n\r\n0")
            assert answer.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "request_head",
    [
        pytest.param(head(MAX_HEAD_BYTES + KIB), id="many headers"),
        pytest.param(START + b"X: " + b"x" * MAX_HEAD_BYTES + b"\r\n\r\n", id="a long header"),
        pytest.param(b"GET /" + b"x" * MAX_HEAD_BYTES + b" HTTP/1.1\r\nHost: a\r\n\r\n", id="a long path"),
    ],
)
async def test_a_head_that_is_too_large_is_told_so_in_a_problem_and_the_connection_closed(
    server: Server, request_head: bytes
) -> None:
    answer, _, body = (await server.ask(request_head)).partition(b"\r\n\r\n")
    lines = answer.decode().lower().split("\r\n")
    assert lines[0] == "http/1.1 431 request header fields too large"
    assert {"content-type: application/problem+json", "connection: close", "x-frame-options: deny"} <= {*lines}
    assert [line for line in lines if line.startswith("x-request-id: ")]
    assert json.loads(body)["error"]["code"] == "headers_too_large"
    assert not server.asked.is_set()


CHUNKED = START + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        pytest.param(START, b"X: " + b"x" * KIB + b"\r\n", id="headers"),
        pytest.param(START + b"X: ", b"x" * KIB, id="one header"),
        pytest.param(START, b"x" * KIB, id="one header's name"),
        pytest.param(b"GET /", b"x" * KIB, id="a path"),
        pytest.param(CHUNKED + b"0\r\n", b"X: " + b"x" * KIB + b"\r\n", id="trailers"),
        pytest.param(CHUNKED + b"0\r\nX: ", b"x" * KIB, id="one trailer"),
    ],
)
async def test_what_has_no_end_is_not_read_without_end(server: Server, start: bytes, piece: bytes) -> None:
    assert MAX_HEAD_BYTES - 2 * KIB < await server.flood(start, piece) < 4 * MAX_HEAD_BYTES


@pytest.mark.parametrize("begun", [b"", b"POS", START])
async def test_a_head_that_does_not_come_is_not_awaited_for_ever(hasty: Server, begun: bytes) -> None:
    assert await hasty.ask(begun) == b""


async def test_a_head_that_trickles_gets_no_more_time(hasty: Server) -> None:
    async with hasty.connection() as (reader, writer):
        writer.write(START)
        closed = asyncio.create_task(reader.read())
        with suppress(ConnectionError):
            while not closed.done():
                writer.write(b"X: x\r\n")
                await writer.drain()
                await asyncio.wait([closed], timeout=Hasty.head_seconds / 4)
            assert await closed == b""


async def test_who_has_sent_the_head_may_wait_for_the_answer(hasty: Server) -> None:
    hasty.answer.clear()
    waiting = asyncio.create_task(hasty.ask(head(0)))
    await hasty.asked.wait()
    await hasty.ask(START)  # the deadline of a later one has passed
    hasty.answer.set()
    assert (await waiting).startswith(b"HTTP/1.1 200 ")


REFUSED = b"POST /refused HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
LARGE = 8 * KIB * KIB


async def test_who_is_refused_while_a_large_body_is_sent_hears_it(server: Server) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}") as http:
        for _ in range(5):
            assert (await http.post("/refused", content=bytes(LARGE))).status_code == 401


async def test_an_answer_in_the_middle_of_a_body_is_the_last_one_and_is_all_there(server: Server) -> None:
    answer = await server.ask(REFUSED % LARGE, bytes(KIB))
    assert answer.startswith(b"HTTP/1.1 401")
    assert answer.endswith(b"no")


async def test_who_sends_on_and_on_after_the_answer_is_cut_off(hasty: Server) -> None:
    async with hasty.connection() as (reader, writer):
        writer.write(REFUSED % LARGE)
        assert (await reader.read()).endswith(b"no")

        async def until_cut_off() -> None:
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.01)

        with pytest.raises(ConnectionError):
            await asyncio.wait_for(until_cut_off(), PATIENCE_SECONDS)


async def test_who_has_sent_the_body_is_not_lingered_for(server: Server) -> None:
    assert (await server.ask(REFUSED % KIB + bytes(KIB))).endswith(b"no")
    await wait_until(lambda: not server.connections)


async def test_a_server_that_ends_does_not_wait_for_those_who_send_on() -> None:
    async with serving(HttpProtocol) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(REFUSED % LARGE)
        assert (await reader.read()).endswith(b"no")
        assert server.connections
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
