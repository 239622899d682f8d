import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from modelpool.slots import DesiredSlot, DesiredSlots, ObservedSlot, ObservedSlots, SlotPhase
from modelpool_local.slots_server import SlotsServer

LINE = DesiredSlots(
    pool="default/studio",
    epoch=3,
    slots=(DesiredSlot(slot="a", tier="primary", device="cpu", vram_bytes=1, host_memory_bytes=1),),
)


def answer(desired: DesiredSlots) -> ObservedSlots:
    return ObservedSlots(
        pool=desired.pool,
        slots=tuple(ObservedSlot(slot=one.slot, tier=one.tier, phase=SlotPhase.READY) for one in desired.slots),
    )


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[SlotsServer]:
    server = SlotsServer(tmp_path / "slots.sock", answer)
    await server.start()
    yield server
    await server.close()


async def test_every_line_is_answered_by_one(server: SlotsServer) -> None:
    reader, writer = await asyncio.open_unix_connection(server.path)
    for _ in range(2):
        writer.write(LINE.to_json().encode() + b"\n")
        observed = ObservedSlots.model_validate_json(await reader.readline())
        assert observed.slots[0].slot == "a"
    writer.close()
    await writer.wait_closed()


async def test_only_this_user_may_talk_to_it(server: SlotsServer) -> None:
    assert server.path.stat().st_mode & 0o777 == 0o600


async def test_a_line_that_cannot_be_read_ends_the_conversation_and_nothing_else(
    server: SlotsServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        reader, writer = await asyncio.open_unix_connection(server.path)
        writer.write(b"nonsense\n")
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
    await test_every_line_is_answered_by_one(server)


async def test_a_socket_left_behind_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "slots.sock"
    path.write_text("left behind")
    server = SlotsServer(path, answer)
    await server.start()
    await test_every_line_is_answered_by_one(server)
    await server.close()
    assert not path.exists()
