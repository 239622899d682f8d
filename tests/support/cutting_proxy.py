"""A TCP proxy that cuts connections after a given number of bytes of a request or of the server's reply."""

import asyncio
from types import TracebackType


class CuttingProxy:
    """Stands between a client and a server on the loopback interface. It is armed for one cut at a time."""

    def __init__(self, port: int) -> None:
        self.cuts = 0
        self._server_port = port
        self._requests, self._replies = _Cut(), _Cut()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """Where clients connect to."""
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def cut_after(self, bytes_of_reply: int) -> None:
        """Pass on so many bytes more from the server, then cut, once."""
        self._requests.left, self._replies.left = None, bytes_of_reply

    def cut_request_after(self, bytes_of_request: int) -> None:
        """Pass on so many bytes more to the server, then cut, once."""
        self._requests.left, self._replies.left = bytes_of_request, None

    def let_pass(self) -> None:
        """Cut no more."""
        self._requests.left = self._replies.left = None

    async def __aenter__(self) -> "CuttingProxy":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, client_reader: asyncio.StreamReader, client_writer: asyncio.StreamWriter) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._server_port)
        ends = (client_writer, writer)
        there = self._pump(client_reader, writer, ends, self._requests)
        back = self._pump(reader, client_writer, ends, self._replies)
        for pump in (there, back):
            task = asyncio.create_task(pump)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        ends: tuple[asyncio.StreamWriter, ...],
        cut: "_Cut",
    ) -> None:
        try:
            while data := await source.read(65536):
                if cut.left is not None and len(data) > cut.left:
                    sink.write(data[: cut.left])
                    await sink.drain()
                    cut.left = None
                    self.cuts += 1
                    return
                if cut.left is not None:
                    cut.left -= len(data)
                sink.write(data)
        except ConnectionError:
            pass
        finally:
            _close(ends)


class _Cut:
    """How many bytes of one direction still pass; None: all."""

    def __init__(self) -> None:
        self.left: int | None = None


def _close(ends: tuple[asyncio.StreamWriter, ...]) -> None:
    for end in ends:
        end.close()
