"""The client, in a process of its own: a few lines above the socket, so that the server is what is measured.

Closed loop: every connection sends its next request when the last one is answered. Open loop: requests arrive at random
moments at a given rate whatever the server does, and are timed from the moment at which they should have been sent.
The last line is JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import resource
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import cast

import uvloop

from bench.admission.workload import request, visitors

BROKEN = 0
"""Stands for the status where the server closed the connection."""
PATIENCE = 120.0
Answered = Callable[["Connection", int], None]


class Connection(asyncio.Protocol):
    """One connection with one request under way."""

    def __init__(self, answered: Answered) -> None:
        self._answered = answered
        self._transport: asyncio.WriteTransport | None = None
        self._data = b""
        self.started = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what to write to."""
        self._transport = cast(asyncio.WriteTransport, transport)

    def send(self, data: bytes, started: float) -> None:
        """Send a request that is timed from ``started``."""
        assert self._transport is not None
        self.started = started
        self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        """Look whether the answer is complete."""
        self._data += data
        head, separator, body = self._data.partition(b"\r\n\r\n")
        if not separator:
            return
        _, _, rest = head.lower().partition(b"content-length: ")
        if len(body) < int(rest.partition(b"\r\n")[0]):
            return
        self._data = b""
        self._answered(self, int(head[9:12]))

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody closes before the end."""
        self._answered(self, BROKEN)


class Load:
    """Sends requests from ``first`` on and notes what becomes of them."""

    def __init__(self, port: int, first: int) -> None:
        self._port = port
        self._cookies = visitors()
        self._next = first
        self._ready: deque[bytes] = deque()
        self.statuses: Counter[int] = Counter()
        self.seconds: list[float] = []
        self.done = asyncio.Event()

    def prepare(self, count: int) -> None:
        """Write ``count`` requests beforehand: that is not to be measured."""
        self._ready = deque(request(number, self._cookies) for number in range(self._next, self._next + count))
        self._next += count

    async def connect(self, answered: Answered) -> Connection:
        """One more connection."""
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: Connection(answered), "127.0.0.1", self._port)
        return connection

    async def closed(self, count: int, connections: int) -> float:
        """Seconds for ``count`` requests over ``connections`` that are always busy."""
        self.prepare(count)
        self.done.clear()
        left = count

        def answered(connection: Connection, status: int) -> None:
            nonlocal left
            self.statuses[status] += 1
            left -= 1
            if status == BROKEN:
                self.done.set()
            elif self._ready:
                connection.send(self._ready.popleft(), 0.0)
            elif not left:
                self.done.set()

        opened = [await self.connect(answered) for _ in range(connections)]
        started = time.perf_counter()
        for connection in opened:
            connection.send(self._ready.popleft(), 0.0)
        await self.done.wait()
        return time.perf_counter() - started

    async def opened(self, rate: float, seconds: float, connections: int, chance: random.Random) -> None:
        """Poisson arrivals, ``rate`` a second for ``seconds``; who finds no free connection waits for one, and is timed."""
        arrivals, at = [], 0.0
        while (at := at + chance.expovariate(rate)) < seconds:
            arrivals.append(at)
        self.prepare(len(arrivals))
        self.done.clear()
        waiting: deque[float] = deque()
        # In turn, so that none is idle for as long as a server bears with.
        idle: deque[Connection] = deque()
        left = len(arrivals)

        def answered(connection: Connection, status: int) -> None:
            nonlocal left
            self.statuses[status] += 1
            self.seconds.append(time.perf_counter() - connection.started)
            left -= 1
            if status == BROKEN:
                self.done.set()
            elif waiting:
                connection.send(self._ready.popleft(), waiting.popleft())
            else:
                idle.append(connection)
            if not left:
                self.done.set()

        idle.extend([await self.connect(answered) for _ in range(connections)])
        started = time.perf_counter()
        for arrival in arrivals:
            if self.done.is_set():
                break
            due = started + arrival
            if (early := due - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            if idle:
                idle.popleft().send(self._ready.popleft(), due)
            else:
                waiting.append(due)
        await self.done.wait()


async def run(asked: argparse.Namespace) -> dict[str, object]:
    """What the command line asks for."""
    load = Load(asked.port, asked.first)
    async with asyncio.timeout(PATIENCE):
        if asked.rate:
            await load.opened(asked.rate, asked.seconds, asked.connections, random.Random(asked.seed))
            wall = asked.seconds
        else:
            wall = await load.closed(asked.requests, asked.connections)
    used = resource.getrusage(resource.RUSAGE_SELF)
    ordered = sorted(load.seconds)
    shares = {f"p{share}": 1000 * ordered[len(ordered) * share // 100] for share in (50, 99)} if ordered else {}
    return {
        "wall": wall,
        "statuses": {str(status): count for status, count in load.statuses.items()},
        "client_cpu": used.ru_utime + used.ru_stime,
        **shares,
    }


def main() -> None:
    """One run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--first", type=int, default=0, help="number of the first request")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--requests", type=int, default=1000, help="of the closed loop")
    parser.add_argument("--rate", type=float, default=0.0, help="a second, of the open loop")
    parser.add_argument("--seconds", type=float, default=10.0, help="of the open loop")
    parser.add_argument("--seed", type=int, default=1)
    print(json.dumps(uvloop.run(run(parser.parse_args()))))


if __name__ == "__main__":
    main()
