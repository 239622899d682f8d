"""``/healthz``, ``/readyz`` and ``/metrics`` on a loopback port, from a thread of its own.

A thread, because the liveness probe must answer when the event loop hangs; wsgiref, because prometheus_client speaks
WSGI and three routes need no framework.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterable
from http import HTTPStatus
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

Probe = Callable[[], str | None]
"""None when all is well, else what is wrong."""
EVERYWHERE = ("0.0.0.0", "::", "")  # noqa: S104  only compared with


class ProbeServer:
    """Serves until the process ends."""

    def __init__(self, host: str, port: int, registry: CollectorRegistry, healthy: Probe, ready: Probe) -> None:
        self._host = host
        metrics = make_wsgi_app(registry)

        def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            path = environ.get("PATH_INFO", "")
            if path == "/metrics":
                answer: Iterable[bytes] = metrics(environ, start_response)
                return answer
            probes = {"/healthz": healthy, "/readyz": ready}
            if path not in probes:
                return _answer(start_response, HTTPStatus.NOT_FOUND, "no such path")
            wrong = probes[path]()
            return _answer(start_response, HTTPStatus.SERVICE_UNAVAILABLE if wrong else HTTPStatus.OK, wrong or "ok")

        self._server = make_server(host, port, application, server_class=_Server, handler_class=_Quiet)
        self._thread = threading.Thread(target=self._server.serve_forever, name="probes", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Base URL. Where it listens on all addresses, the one by which this machine knows itself: a pod's is in its hosts file."""
        host = self._host
        if host in EVERYWHERE:
            try:
                host = socket.gethostbyname(socket.gethostname())
            except OSError:
                host = socket.gethostname()
        return f"http://{host}:{self._server.server_port}"

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Probes are no news."""


def _answer(start_response: StartResponse, status: HTTPStatus, detail: str) -> list[bytes]:
    body = json.dumps({"status": detail}).encode()
    start_response(
        f"{status.value} {status.phrase}",
        [("Content-Type", "application/json"), ("Content-Length", str(len(body)))],
    )
    return [body]
