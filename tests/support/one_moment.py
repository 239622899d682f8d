"""Many requests at one moment: all connections stand before the first is used."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Sent:
    """One request over a connection of its own; ``source`` is an address of this machine."""

    method: str = "GET"
    path: str = "/"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    source: str | None = None

    @property
    def text(self) -> bytes:
        """As it goes over the wire."""
        length = {"Content-Length": str(len(self.body))} if self.body else {}
        headers = {"Host": "api", "Connection": "close", **length, **self.headers}
        lines = [f"{self.method} {self.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode() + self.body


@dataclass(frozen=True)
class Answered:
    """What came back; names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


async def at_one_moment(port: int, requests: Sequence[Sent], host: str = "127.0.0.1") -> list[Answered]:
    """The answers to all of them, in their order. Who comes from an IPv6 address goes to this machine's."""
    opened = await asyncio.gather(*(_open(host, port, request.source) for request in requests))
    for (_, writer), request in zip(opened, requests, strict=True):
        writer.write(request.text)
    return list(await asyncio.gather(*(_read(reader, writer) for reader, writer in opened)))


async def _open(host: str, port: int, source: str | None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if source is None:
        return await asyncio.open_connection(host, port)
    return await asyncio.open_connection("::1" if ":" in source else host, port, local_addr=(source, 0))


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Answered:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        length = headers.get("content-length")
        body = await (reader.read() if length is None else reader.readexactly(int(length)))
        return Answered(int(head[0].split()[1]), headers, body)
    finally:
        writer.close()
