"""What it costs to let a job in, against a bare route and against arq.

    make bench-api
    make bench-api BENCH="--requests 2000 --repeats 1 --seconds 5"     a short one

Three servers take the same requests in turn: the API under its public admission rules (identity from address, cookie
and fingerprint; every ceiling, the burst rule, the patterns of unusual use, the ring of seeds; cache, and the queue with
its whole promise), a bare FastAPI route that does one Redis SET, and a FastAPI route that enqueues an arq job. Each is
one uvicorn process with uvloop and httptools and no access log, on an empty Redis 7; the client is a process of its own.
32 connections that are always busy give the rate; then Poisson arrivals at 70 % of it give the times.

"Per core" is requests per second of computing, server and Redis together, which a busy machine disturbs less than the
clock. Ratios are of medians over the repeats. The last line is JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
from redis.asyncio import Redis
from rich.console import Console
from rich.table import Table

from bench.admission.workload import SECRET
from bench.queueing.environments import python_of
from modelpool.tasks import end
from support.ports import unused_port
from support.redis_server import RedisMissingError, RedisProcess, debian_redis
from support.running_api import heartbeat, published
from support.waiting import wait_until

OURS, BARE, ARQ = "modelpool", "bare route, one SET", "FastAPI and arq"
TESTS = Path(__file__).parents[2]
# A limit that is computed and never reached: nobody works the queue off here.
ADMISSION = """
profile: public
identity: {trustedProxies: [127.0.0.1/32]}
overload: {anonymous: 100000000}
"""
BEAT_SECONDS = 2.0
CALM = 0.7


@dataclass(frozen=True)
class Rate:
    """One closed loop: requests, and seconds on the clock, of the server's and Redis's computing, and of the client's."""

    requests: int
    wall: float
    server: float
    redis: float
    client: float

    @property
    def per_second(self) -> float:
        """On the clock."""
        return self.requests / self.wall

    @property
    def per_core(self) -> float:
        """By computing."""
        return self.requests / (self.server + self.redis)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    found = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("--requests", type=int, default=6000, help="of each closed loop (%(default)s)")
    found.add_argument("--repeats", type=int, default=3, help="of each contender (%(default)s)")
    found.add_argument("--connections", type=int, default=32, help="of the closed loop (%(default)s)")
    found.add_argument("--seconds", type=float, default=10.0, help="of each open loop (%(default)s)")
    return found


def command(contender: str, url: str, folder: Path, port: int) -> tuple[list[str], dict[str, str]]:
    """How a contender's server is started: the words, and what is in its environment."""
    own = {"PYTHONPATH": str(TESTS), "BENCH_REDIS_URL": url}
    if contender != OURS:
        python, app = (sys.executable, "bare") if contender == BARE else (str(python_of("arq-api")), "arq_api")
        words = [python, "-m", "uvicorn", f"bench.admission.servers.{app}:app", "--port", str(port)]
        return [*words, "--no-access-log", "--no-proxy-headers", "--no-server-header", "--log-level", "warning"], own
    admission = folder / "admission.yaml"
    admission.write_text(ADMISSION)
    words = [sys.executable, "-m", "modelpool_api", "--redis-url", url, "--store-url", f"file://{folder}/store"]
    words += ["--admission", str(admission), "--subject-secret", SECRET, "--port", str(port), "--log-level", "warning"]
    return words, own


@asynccontextmanager
async def serving(contender: str, url: str, folder: Path) -> AsyncIterator[tuple[int, psutil.Process]]:
    """The contender's server on an empty Redis, warm."""
    port = unused_port()
    words, own = command(contender, url, folder, port)
    process = await asyncio.create_subprocess_exec(*words, env={**os.environ, **own})
    try:
        path = "/readyz" if contender == OURS else "/openapi.json"
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            await wait_until(lambda: _answers(http, path, process), timeout=60)
        yield port, psutil.Process(process.pid)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _answers(http: httpx.AsyncClient, path: str, process: asyncio.subprocess.Process) -> bool:
    if process.returncode is not None:
        raise SystemExit(f"a server ended with {process.returncode} before it answered")
    try:
        return (await http.get(path)).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


async def load(port: int, *options: str) -> dict[str, Any]:
    """What the client tells of one run; every request has to be let in."""
    words = [sys.executable, "-m", "bench.admission.client", "--port", str(port), *options]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*words, stdout=pipe, env={**os.environ, "PYTHONPATH": str(TESTS)})
    told, _ = await process.communicate()
    if process.returncode:
        raise SystemExit("the client failed, see above")
    found: dict[str, Any] = json.loads(told.splitlines()[-1])
    if set(found["statuses"]) != {"202"}:
        raise SystemExit(f"not every request was let in: {found['statuses']}")
    return found


async def computed(redis: Redis, server: psutil.Process) -> tuple[float, float]:
    """Seconds of computing so far, of server and Redis."""
    info, times = await redis.info("cpu"), server.cpu_times()
    return times.user + times.system, float(info["used_cpu_user"]) + float(info["used_cpu_sys"])


async def _beat(board: Any) -> None:
    while True:
        await board.beat(heartbeat())
        await asyncio.sleep(BEAT_SECONDS)


async def measure(contender: str, server: RedisProcess, folder: Path, asked: argparse.Namespace) -> tuple[Rate, Any]:
    """The rate of a contender, and its times at 70 % of that."""
    server.flush()
    async with published(server.url) as (redis, board):
        beating = asyncio.create_task(_beat(board))
        try:
            async with serving(contender, server.url, folder) as (port, process):
                warm = asked.requests // 4
                connections = ["--connections", str(asked.connections)]
                await load(port, "--requests", str(warm), *connections)
                before = await computed(redis, process)
                told = await load(port, "--requests", str(asked.requests), "--first", str(warm), *connections)
                after = await computed(redis, process)
                server_s, redis_s = (late - early for late, early in zip(after, before, strict=True))
                rate = Rate(asked.requests, told["wall"], server_s, redis_s, told["client_cpu"])
                first = ["--first", str(warm + asked.requests), "--connections", "256"]
                calm = [f"--rate={CALM * rate.per_second}", f"--seconds={asked.seconds}"]
                return rate, await load(port, *first, *calm)
        finally:
            await end(beating)


def show(rates: dict[str, list[Rate]], times: dict[str, list[Any]]) -> None:
    """A table for people."""
    table = Table("", "per core", "on the clock", "µs: server", "Redis", "client", "at 70 %: p50 ms", "p99 ms")
    for who, found in rates.items():
        share = [1e6 * statistics.median(getattr(r, part) / r.requests for r in found) for part in _PARTS]
        calm = [statistics.median(told[name] for told in times[who]) for name in ("p50", "p99")]
        row = [middle(found, "per_core"), middle(found, "per_second"), *share]
        table.add_row(who, *(f"{value:,.0f}" for value in row), *(f"{value:.2f}" for value in calm))
    Console(width=120).print(table)


_PARTS = ("server", "redis", "client")


def middle(found: list[Rate], what: str) -> float:
    """The median of one figure."""
    return float(statistics.median(getattr(rate, what) for rate in found))


async def compare(asked: argparse.Namespace) -> None:
    """Every contender in turn, again and again."""
    try:
        program = debian_redis()
    except RedisMissingError as error:
        raise SystemExit(str(error)) from None
    rates: dict[str, list[Rate]] = defaultdict(list)
    times: dict[str, list[Any]] = defaultdict(list)
    python_of("arq-api")  # the environment first
    with tempfile.TemporaryDirectory() as name, RedisProcess(program, Path(name) / "redis") as server:
        for _ in range(asked.repeats):
            for who in (OURS, BARE, ARQ):
                rate, calm = await measure(who, server, Path(name), asked)
                rates[who].append(rate)
                times[who].append(calm)
                words = f"{who}: {rate.per_core:,.0f} per core, {rate.per_second:,.0f} on the clock"
                print(f"{words}, p99 {calm['p99']:.1f} ms at 70 %", flush=True)
    show(rates, times)
    print(f"{asked.connections} connections; load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    ours = middle(rates[OURS], "per_core")
    figures = {
        "admit_vs_bare": round(ours / middle(rates[BARE], "per_core"), 2),
        "admit_vs_arq": round(ours / middle(rates[ARQ], "per_core"), 2),
        "admit_p99_ms": round(statistics.median(told["p99"] for told in times[OURS]), 1),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    asyncio.run(compare(parser().parse_args()))
