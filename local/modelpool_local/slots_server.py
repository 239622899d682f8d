"""The Unix socket on which the operator says which slots it wants and hears how they are.

One line of JSON each way (:mod:`modelpool.slots`). The answer to a line that cannot be read is to hang up: the operator
connects again with its next tick.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from modelpool.slots import DesiredSlots, ObservedSlots

log = logging.getLogger(__name__)

LONGEST_LINE = 4 * 2**20
"""A thousand slots are about 200 KiB."""


class SlotsServer:
    """Listens until closed; ``desire`` is called with every line and returns the answer."""

    def __init__(self, path: Path, desire: Callable[[DesiredSlots], ObservedSlots]) -> None:
        self.path = path
        self._desire = desire
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        """Begin to listen, in place of whoever listened there before."""
        self.path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._talk, str(self.path), limit=LONGEST_LINE)
        self.path.chmod(0o600)

    async def close(self) -> None:
        """Hang up and stop listening."""
        if self._server is None:
            return
        self._server.close()
        for writer in list(self._connections):
            writer.close()
        await self._server.wait_closed()
        self.path.unlink(missing_ok=True)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        try:
            while line := await reader.readline():
                answer = self._desire(DesiredSlots.model_validate_json(line))
                writer.write(answer.to_json().encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError, ValidationError) as error:
            log.warning("hung up on the operator: %s", error)
        finally:
            self._connections.discard(writer)
            writer.close()
