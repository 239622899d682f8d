"""What is logged while a request is worked on says which request that is."""

from __future__ import annotations

import asyncio
import logging

import pytest
from starlette.types import Message, Receive, Scope, Send

from modelpool_api.process_logs import FORMAT
from modelpool_api.request_id import NamesRequest, RequestId


def line() -> str:
    """A line as the process writes it."""
    record = logging.makeLogRecord({"name": "api", "levelname": "WARNING", "msg": "it is so"})
    assert NamesRequest().filter(record)
    return logging.Formatter(FORMAT).format(record).partition(" WARNING")[2]


async def logged_during(headers: list[tuple[bytes, bytes]], kind: str = "http") -> str:
    said: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0)
        said.append(line())

    async def receive() -> Message:
        return {}

    async def send(message: Message) -> None:
        pass

    # Each request has a task of its own, as the server gives it one.
    await asyncio.create_task(RequestId(app)({"type": kind, "headers": headers}, receive, send))
    return said[0]


@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_the_id_of_the_request_is_in_the_line(kind: str) -> None:
    headers = [(b"accept", b"*/*"), (b"x-request-id", b"trace:0123-abcd")]
    assert await logged_during(headers, kind) == " [trace:0123-abcd] api: it is so"


@pytest.mark.parametrize("offered", [b"short", b"two words of it", b"line\nbreak-in-it", b"x" * 129, b"\xff" * 20])
async def test_what_is_no_id_is_not_written_down(offered: bytes) -> None:
    assert await logged_during([(b"x-request-id", offered)]) == " api: it is so"


async def test_requests_at_one_time_keep_theirs_apart() -> None:
    headers = [[(b"x-request-id", f"request-{number}".encode())] for number in range(20)]
    lines = await asyncio.gather(*map(logged_during, headers))
    assert lines == [f" [request-{number}] api: it is so" for number in range(20)]
    assert line() == " api: it is so"
