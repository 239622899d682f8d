"""Waiting for a Service, shown with a port of this machine that somebody opens later."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from support.ports import unused_port
from support.reach import python_here, until_answered, until_taken


class Answers(BaseHTTPRequestHandler):
    """Answers /well well, and all else as a proxy does whose server is away."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/well" else 502)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing is written."""


@contextmanager
def served() -> Iterator[int]:
    """The port of a server."""
    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def test_a_connection_that_is_taken_only_later_is_waited_for() -> None:
    port = unused_port()
    tried: list[tuple[str, ...]] = []
    with socket.socket() as server:
        server.bind(("127.0.0.1", port))

        def python(program: str, *arguments: str) -> str:
            if len(tried) == 2:
                server.listen()
            tried.append(arguments)
            return python_here(program, *arguments)

        until_taken("127.0.0.1", port, python)
    assert tried == [("127.0.0.1", str(port))] * 3


def test_where_nobody_ever_listens_it_says_so() -> None:
    port = unused_port()
    with pytest.raises(AssertionError, match=rf"'127\.0\.0\.1:{port} takes connections' was not true within 0 s"):
        until_taken("127.0.0.1", port, seconds=0)


def test_an_answer_that_is_an_error_is_none() -> None:
    with served() as port:
        until_answered(f"http://127.0.0.1:{port}/well", seconds=0)
        with pytest.raises(AssertionError, match="is answered"):
            until_answered(f"http://127.0.0.1:{port}/badly", seconds=0)
