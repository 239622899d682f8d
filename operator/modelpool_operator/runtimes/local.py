"""The local runtime: the supervisor behind a Unix socket. One line of JSON each way; see :mod:`modelpool.slots`."""

from __future__ import annotations

import asyncio
from pathlib import Path

from pydantic import ValidationError

from modelpool.slots import DesiredSlots, ObservedSlots
from modelpool_operator.runtimes.port import RuntimeUnavailable

LONGEST_LINE = 4 * 2**20
"""Bytes; a thousand slots are about 200 KiB."""
ANSWER_SECONDS = 5.0


class LocalRuntime:
    """Keeps one connection and connects anew after any trouble."""

    def __init__(self, path: Path, answer_seconds: float = ANSWER_SECONDS) -> None:
        self._path = path
        self._answer_seconds = answer_seconds
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def apply(self, desired: DesiredSlots) -> ObservedSlots:
        """See :class:`Runtime`."""
        try:
            async with asyncio.timeout(self._answer_seconds):
                reader, writer = await self._connected()
                writer.write(desired.to_json().encode() + b"\n")
                await writer.drain()
                line = await reader.readline()
            if not line:
                raise ConnectionError("it hung up")
            return ObservedSlots.model_validate_json(line)
        except TimeoutError as error:
            await self.close()
            raise RuntimeUnavailable(
                f"the supervisor at {self._path} did not answer within {self._answer_seconds:g} s"
            ) from error
        except (OSError, ValueError, ValidationError) as error:
            await self.close()
            raise RuntimeUnavailable(f"the supervisor at {self._path} cannot be reached: {error}") from error

    async def close(self) -> None:
        """Hang up."""
        if self._streams is not None:
            writer, self._streams = self._streams[1], None
            writer.close()

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            self._streams = await asyncio.open_unix_connection(str(self._path), limit=LONGEST_LINE)
        return self._streams
