"""A request's answer and what is logged while it is worked on say which request that is."""

from __future__ import annotations

import asyncio
import logging

import pytest
from starlette.types import Message, Receive, Scope, Send

from modelpool_api.process_logs import FORMAT
from modelpool_api.request_id import NamesRequest, RequestId, new_request_id


def line() -> str:
    """A line as the process writes it."""
    record = logging.makeLogRecord({"name": "api", "levelname": "WARNING", "msg": "it is so"})
    assert NamesRequest().filter(record)
    return logging.Formatter(FORMAT).format(record).partition(" WARNING")[2]


MADE = "made-0123456789"


async def logged_during(headers: list[tuple[bytes, bytes]], kind: str = "http") -> str:
    return (await logged_and_answered(headers, kind))[0]


async def logged_and_answered(
    headers: list[tuple[bytes, bytes]], kind: str = "http", start: str = "http.response.start"
) -> tuple[str, dict[bytes, bytes]]:
    """What a line within the request looks like, and the headers of its answer."""
    said: list[str] = []
    sent: dict[bytes, bytes] = {}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0)
        said.append(line())
        await send({"type": start, "headers": [(b"location", b"/")]})

    async def receive() -> Message:
        return {}

    async def send(message: Message) -> None:
        sent.update(message["headers"])

    # Each request has a task of its own, as the server gives it one.
    layer = RequestId(app, lambda: MADE)
    await asyncio.create_task(layer({"type": kind, "headers": headers}, receive, send))
    return said[0], sent


@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_the_id_of_the_request_is_in_the_line(kind: str) -> None:
    headers = [(b"accept", b"*/*"), (b"x-request-id", b"trace:0123-abcd")]
    assert await logged_during(headers, kind) == " [trace:0123-abcd] api: it is so"


@pytest.mark.parametrize("offered", [b"short", b"two words of it", b"line\nbreak-in-it", b"x" * 129, b"\xff" * 20])
async def test_what_is_no_id_is_not_written_down_and_one_is_made(offered: bytes) -> None:
    assert await logged_during([(b"x-request-id", offered)]) == f" [{MADE}] api: it is so"


@pytest.mark.parametrize(
    ("kind", "start"),
    [
        ("http", "http.response.start"),
        ("websocket", "websocket.accept"),
        ("websocket", "websocket.http.response.start"),
    ],
)
async def test_the_answer_tells_the_id_that_came_or_the_one_that_was_made(kind: str, start: str) -> None:
    offered = [(b"x-request-id", b"trace:0123-abcd")]
    _, sent = await logged_and_answered(offered, kind, start)
    assert sent == {b"location": b"/", b"x-request-id": b"trace:0123-abcd"}
    _, sent = await logged_and_answered([], kind, start)
    assert sent == {b"location": b"/", b"x-request-id": MADE.encode()}


def test_no_two_ids_are_the_same() -> None:
    made = {new_request_id() for _ in range(100)}
    assert len(made) == 100
    assert {len(id) for id in made} == {32}


async def test_requests_at_one_time_keep_theirs_apart() -> None:
    headers = [[(b"x-request-id", f"request-{number}".encode())] for number in range(20)]
    lines = await asyncio.gather(*map(logged_during, headers))
    assert lines == [f" [request-{number}] api: it is so" for number in range(20)]
    assert line() == " api: it is so"
