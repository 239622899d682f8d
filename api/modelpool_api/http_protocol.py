"""HTTP as uvicorn speaks it, but for four things.

An answer leaves in one piece, broken HTTP is told so in a problem, a head may be only so large and take only so long, and
who is answered in the middle of a body hears it before the connection is gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from modelpool.errors import HeadersTooLarge, ModelpoolError
from modelpool_api.problems import Malformed, problem_response
from modelpool_api.request_id import HEADER, new_request_id
from modelpool_api.security_headers import headers_for

LINGER_SECONDS = 10.0
"""How long a connection whose answer is out is still read from. Were it closed at once, the system would tell the client that
its bytes were lost, and many clients then look no more for an answer."""
MAX_HEAD_BYTES = 32 * 1024
"""Of a request's line and headers together, and of what comes after a body in chunks."""


class Gathering:
    """A transport that sends together what is written in one turn of the loop, and ends when the client has heard it.

    uvicorn writes the head of an answer and then its body. Each by itself is a system call and wakes the reader, which
    was a sixth of all that it took to let a job in.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        loop: asyncio.AbstractEventLoop,
        is_sending: Callable[[], bool] = lambda: False,
        linger_seconds: float = LINGER_SECONDS,
    ) -> None:
        """``is_sending``: whether the client is still sending what nobody wants any more."""
        self.plain = transport
        self._loop = loop
        self._is_sending = is_sending
        self._linger_seconds = linger_seconds
        self._lingers = False
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
        """Close the connection when all has been sent; at the second time at once, whatever the client still sends."""
        self.flush()
        if self._lingers or self.plain.is_closing() or not self._is_sending():
            self.plain.close()
            return
        self._lingers = True
        if self.plain.can_write_eof():
            self.plain.write_eof()
        self.plain.resume_reading()
        self._loop.call_later(self._linger_seconds, self.plain.close)

    def is_closing(self) -> bool:
        """Whether nothing more is sent."""
        return self._lingers or self.plain.is_closing()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.plain, name)


class HttpProtocol(HttpToolsProtocol):
    """One connection."""

    head_seconds = 15.0
    """How long a head may take, the first from the beginning of the connection, others from their first byte."""
    linger_seconds = LINGER_SECONDS

    _named = 0
    """Bytes of the request's line, headers and trailers that the parser has handed over."""
    _unfinished = 0
    """Bytes that came since the parser last came to an end of something: a path or a header that grows is still with it."""
    _deadline: asyncio.TimerHandle | None = None
    _refusal: ModelpoolError | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Stand between uvicorn and the transport."""
        gathering = Gathering(transport, self.loop, self._is_sending, self.linger_seconds)
        super().connection_made(cast(asyncio.Transport, gathering))
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is awaited any more."""
        self._head_is_here()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on; what has no end is not read without end, and what comes after the end is thrown away."""
        if self.transport.is_closing():
            return
        self._unfinished += len(data)
        super().data_received(data)
        if self._unfinished > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._refusal = _too_large()
            self.send_400_response("")

    def on_message_begin(self) -> None:
        """A head begins."""
        self._named = self._unfinished = 0
        self._expect_head()
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Count it."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count it."""
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole: how long the rest may take others decide."""
        self._unfinished = 0
        self._head_is_here()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Bodies are counted elsewhere."""
        self._unfinished = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Trailers have come to their end."""
        self._unfinished = 0
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        """A WebSocket has frames of its own to send, each in one piece."""
        gathering = cast(Gathering, self.transport)
        gathering.flush()
        self.transport = gathering.plain
        super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, and close the connection: where the next request would begin nobody knows."""
        broken = Malformed("this is no HTTP that can be read here; the connection is closed")
        answer = problem_response(self._refusal or broken, "/")
        headers = [*self.server_state.default_headers, *answer.raw_headers, (b"connection", b"close")]
        headers += [*headers_for("/", answer.raw_headers), (HEADER, new_request_id().encode())]
        lines = [STATUS_LINE[answer.status_code], *(name + b": " + value + b"\r\n" for name, value in headers), b"\r\n"]
        self.transport.write(b"".join([*lines, bytes(answer.body)]))
        self.transport.close()

    def _is_sending(self) -> bool:
        cycle = cast("RequestResponseCycle | None", self.cycle)
        return cycle is not None and cycle.response_complete and cycle.more_body

    def _count(self, size: int) -> None:
        self._named += size
        if self._named > MAX_HEAD_BYTES:
            self._refusal = _too_large()
            raise self._refusal  # the parser stops, and uvicorn answers with `send_400_response`

    def _expect_head(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.head_seconds, self._close)

    def _head_is_here(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _close(self) -> None:
        self.transport.close()


def _too_large() -> HeadersTooLarge:
    return HeadersTooLarge(
        f"the request's line and headers are longer than {MAX_HEAD_BYTES} bytes; perhaps there are too many cookies"
    )
