"""The client of the supervisor's socket: one line each way, and a fresh start after any trouble."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from modelpool.slots import DesiredSlot, DesiredSlots, ObservedSlot, ObservedSlots, SlotPhase
from modelpool_operator.runtimes.local import LocalRuntime
from modelpool_operator.runtimes.port import RuntimeUnavailable

DESIRED = DesiredSlots(
    pool="default/studio",
    epoch=3,
    slots=(DesiredSlot(slot="s0", tier="t", device="cpu", vram_bytes=1, host_memory_bytes=2),),
)
OBSERVED = ObservedSlots(pool="default/studio", slots=(ObservedSlot(slot="s0", tier="t", phase=SlotPhase.READY),))
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "slots.sock"


@pytest_asyncio.fixture
async def runtime(path: Path) -> AsyncIterator[LocalRuntime]:
    client = LocalRuntime(path, answer_seconds=0.2)
    yield client
    await client.close()


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        assert DesiredSlots.model_validate_json(line) == DESIRED
        writer.write(OBSERVED.to_json().encode() + b"\n")
    writer.close()


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readline()
    writer.close()


async def say_nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readline()
    writer.write(b"what?\n")
    writer.close()


async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


async def test_one_connection_carries_many_rounds(path: Path, runtime: LocalRuntime) -> None:
    connections = 0

    async def counted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await answer(reader, writer)

    async with await asyncio.start_unix_server(counted, str(path)):
        assert [await runtime.apply(DESIRED) for _ in range(3)] == [OBSERVED] * 3
        await runtime.close()
    assert connections == 1


@pytest.mark.parametrize("talk", [hang_up, say_nonsense, say_nothing])
async def test_after_trouble_the_next_round_connects_anew(path: Path, runtime: LocalRuntime, talk: Talk) -> None:
    with pytest.raises(RuntimeUnavailable, match="cannot be reached"):
        await runtime.apply(DESIRED)
    async with await asyncio.start_unix_server(talk, str(path)):
        with pytest.raises(RuntimeUnavailable, match=r"slots\.sock"):
            await runtime.apply(DESIRED)
    async with await asyncio.start_unix_server(answer, str(path)):
        assert await runtime.apply(DESIRED) == OBSERVED
        await runtime.close()
