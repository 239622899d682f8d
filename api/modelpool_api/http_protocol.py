"""HTTP as uvicorn speaks it, but for two things: an answer leaves in one piece, and broken HTTP is told so in a problem."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from modelpool_api.problems import Malformed, problem_response
from modelpool_api.security_headers import headers_for


class Gathering:
    """A transport that sends together what is written in one turn of the loop.

    uvicorn writes the head of an answer and then its body. Each by itself is a system call and wakes the reader, which
    was a sixth of all that it took to let a job in.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self.plain = transport
        self._loop = loop
        self._pieces: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> None:
        """Send ``data`` soon, in its order."""
        if not self._pieces:
            self._loop.call_soon(self.flush)
        self._pieces.append(data)
        self._size += len(data)
        if self._size > HIGH_WATER_LIMIT:  # who writes on and on shall be stopped, as without us
            self.flush()

    def flush(self) -> None:
        """Send now what has been written."""
        if self._pieces:
            pieces, self._pieces, self._size = self._pieces, [], 0
            if not self.plain.is_closing():
                self.plain.writelines(pieces)

    def close(self) -> None:
        """Close the connection when all has been sent."""
        self.flush()
        self.plain.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.plain, name)


class HttpProtocol(HttpToolsProtocol):
    """One connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Stand between uvicorn and the transport."""
        super().connection_made(cast(asyncio.Transport, Gathering(transport, self.loop)))

    def handle_websocket_upgrade(self) -> None:
        """A WebSocket has frames of its own to send, each in one piece."""
        gathering = cast(Gathering, self.transport)
        gathering.flush()
        self.transport = gathering.plain
        super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, and close the connection: where the next request would begin nobody knows."""
        answer = problem_response(Malformed("this is no HTTP that can be read here; the connection is closed"), "/")
        headers = [*self.server_state.default_headers, *answer.raw_headers, (b"connection", b"close")]
        headers += headers_for("/", answer.raw_headers)
        lines = [STATUS_LINE[answer.status_code], *(name + b": " + value + b"\r\n" for name, value in headers), b"\r\n"]
        self.transport.write(b"".join([*lines, bytes(answer.body)]))
        self.transport.close()
