"""``/healthz``, ``/readyz`` and ``/metrics`` on one port, without a web framework: the operator starts in well under a second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

REQUEST_SECONDS = 5.0
_TEXT = "text/plain; charset=utf-8"


async def serve_health(
    host: str, port: int, registry: CollectorRegistry, probes: Mapping[str, Callable[[], str | None]]
) -> asyncio.Server:
    """Listen on ``host:port``. A probe, by its path, gives the sentence to answer with 503, or None."""

    async def answer(path: str) -> tuple[str, str, bytes]:
        if path in probes:
            sentence = probes[path]()
            return (
                ("200 OK", _TEXT, b"ok\n")
                if sentence is None
                else ("503 Service Unavailable", _TEXT, sentence.encode())
            )
        if path == "/metrics":
            # Of hundreds of pools that takes its time; the rounds need not wait for it.
            return "200 OK", CONTENT_TYPE_LATEST, await asyncio.to_thread(generate_latest, registry)
        return "404 Not Found", _TEXT, b"there is /healthz, /readyz and /metrics\n"

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                words = (await reader.readuntil(b"\r\n")).decode("latin-1").split()
                while (await reader.readuntil(b"\r\n")).strip():
                    pass  # the headers say nothing that we need
                status, kind, body = await answer(words[1].partition("?")[0] if len(words) > 1 else "")
                head = (
                    f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
                )
                writer.write(f"{head}\r\n".encode() + body)
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # whoever asked has gone, or never finished asking
        finally:
            writer.close()

    return await asyncio.start_server(talk, host, port)
