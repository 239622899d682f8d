"""The transport that sends in one piece what is written at one moment."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import cast

import pytest
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT

from modelpool_api.http_protocol import Gathering


class Wire:
    """A transport that remembers what it was told to send."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.closed = False

    def writelines(self, pieces: Iterable[bytes]) -> None:
        self.sent.append(b"".join(pieces))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
async def gathering(wire: Wire) -> Gathering:
    return Gathering(cast(asyncio.Transport, wire), asyncio.get_running_loop())


async def test_what_is_written_in_one_turn_leaves_in_one_piece(wire: Wire, gathering: Gathering) -> None:
    gathering.write(b"head ")
    gathering.write(b"body")
    assert wire.sent == []
    await asyncio.sleep(0)
    assert wire.sent == [b"head body"]


async def test_a_head_alone_does_not_wait_for_its_body(wire: Wire, gathering: Gathering) -> None:
    for piece in (b"head", b"first event", b"second event"):
        gathering.write(piece)
        await asyncio.sleep(0)
    assert wire.sent == [b"head", b"first event", b"second event"]


async def test_who_writes_on_and_on_is_not_gathered_without_end(wire: Wire, gathering: Gathering) -> None:
    for _ in range(3):
        gathering.write(bytes(HIGH_WATER_LIMIT))
        gathering.write(b"more")
    assert [len(piece) for piece in wire.sent] == [HIGH_WATER_LIMIT + 4] * 3


async def test_closing_sends_what_was_written_first(wire: Wire, gathering: Gathering) -> None:
    gathering.write(b"goodbye")
    gathering.close()
    assert (wire.sent, wire.closed) == ([b"goodbye"], True)


async def test_nothing_is_sent_to_who_has_left(wire: Wire, gathering: Gathering) -> None:
    gathering.write(b"too late")
    wire.closed = True
    await asyncio.sleep(0)
    assert wire.sent == []
