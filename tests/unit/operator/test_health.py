"""The operator's small HTTP server."""

import asyncio
import threading
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.registry import Collector

from modelpool.metrics import OperatorMetrics
from modelpool_operator.health import serve_health
from support import wait_until


async def ask(port: int, line: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(line + b"\r\nHost: x\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize(
    ("line", "sick", "status", "body"),
    [
        (b"GET /healthz HTTP/1.1", None, b"200 OK", b"ok"),
        (b"GET /healthz?verbose HTTP/1.1", "no round for 40 s", b"503 Service Unavailable", b"no round for 40 s"),
        (b"GET /metrics HTTP/1.1", None, b"200 OK", b'modelpool_moves_total{pool="p",reason="Fill"} 1.0'),
        (b"GET / HTTP/1.1", None, b"404 Not Found", b"/metrics"),
        (b"", None, b"404 Not Found", b"/metrics"),
    ],
)
async def test_health_and_metrics(line: bytes, sick: str | None, status: bytes, body: bytes) -> None:
    registry = CollectorRegistry()
    OperatorMetrics(registry).moves.labels("p", "Fill").inc()
    async with await serve_health("127.0.0.1", 0, registry, {"/healthz": lambda: sick}) as server:
        answer = await ask(server.sockets[0].getsockname()[1], line)
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert body in answer


async def test_while_metrics_are_gathered_everything_else_goes_on() -> None:
    asked, go_on = threading.Event(), threading.Event()

    class Slow(Collector):
        def collect(self) -> Iterator[Metric]:
            asked.set()
            if go_on.wait(10):
                yield Metric("patience", "It was worth waiting.", "gauge")

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Slow())
    async with await serve_health("127.0.0.1", 0, registry, {"/healthz": lambda: None}) as server:
        port = server.sockets[0].getsockname()[1]
        metrics = asyncio.create_task(ask(port, b"GET /metrics HTTP/1.1"))
        await wait_until(asked.is_set)
        assert (await ask(port, b"GET /healthz HTTP/1.1")).endswith(b"ok\n")
        go_on.set()
        assert b"patience" in await metrics


async def test_who_never_finishes_asking_is_let_go() -> None:
    async with await serve_health("127.0.0.1", 0, CollectorRegistry(), {"/healthz": lambda: None}) as server:
        port = server.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /hea")
        writer.close()
        await writer.wait_closed()
        assert (await ask(port, b"GET /healthz HTTP/1.1")).endswith(b"ok\n")
