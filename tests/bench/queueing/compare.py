"""The queue against arq, taskiq-redis and docket: enqueue and drain, claims in long lines, memory per job.

    make bench-queue                                                    all of it, about ten minutes on a quiet machine
    make bench-queue BENCH="--sizes 1000 --ours 100000 --repeats 1"     a short one

Everybody gets the same real Redis 7 on this machine, empty before each run, the same requests, and as many clients with
one call outstanding each. Peers run as they come: a no-op job, their own worker with that many jobs at a time, their
results kept for an hour. Our jobs keep their whole promise: lease, attempts, result, event, fairness. Peers know no
batches, so our batches of eight are compared with the best of the peers' drains. Ratios are medians over the repeats of
ours divided by the best peer's, at the largest size that all have run; those of computing compare jobs per second of
it, client and Redis together, which a busy machine disturbs less. Ours run alone at the larger sizes, once each; the
longest line is filled, claimed from in turns with the shortest, and then drained. The last line is JSON: its
"claim_p99_ms_1k" and "…_1m" are of the shortest and of the longest line asked for, its "bytes_per_job" of the longest.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path

import redis
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from bench.queueing.claims import Line, claims, percentile
from bench.queueing.environments import python_of
from bench.queueing.ours import POOL
from support.redis_server import RedisMissingError, RedisProcess, debian_redis

PEERS = {"arq": "arq", "taskiq": "taskiq-redis", "docket": "docket"}
ONE, EIGHT = "modelpool, one by one", "modelpool, batches of 8"
HERE = Path(__file__).parent

Rates = dict[tuple[str, int], list[dict[str, float]]]
"""By contender and number of jobs: what each run told."""


def sizes(text: str) -> list[int]:
    """Numbers of jobs from the command line."""
    return [int(part) for part in text.split(",") if part]


def parser() -> argparse.ArgumentParser:
    """The command line."""
    found = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("--sizes", type=sizes, default=[1000, 10_000], help="jobs of each comparison (%(default)s)")
    found.add_argument("--ours", type=sizes, default=[100_000, 1_000_000], help="more sizes for ours (%(default)s)")
    found.add_argument("--repeats", type=int, default=3, help="of each comparison (%(default)s)")
    found.add_argument("--clients", type=int, default=32, help="calls outstanding, jobs at a time (%(default)s)")
    found.add_argument("--claims", type=int, default=1000, help="claims timed in each line (%(default)s)")
    found.add_argument("--peers", default=",".join(PEERS), help="whom to compare with (%(default)s)")
    return found


def command(contender: str, url: str, jobs: int, clients: int) -> list[str]:
    """How a contender is run."""
    load = ["--url", url, "--jobs", str(jobs), "--clients", str(clients)]
    if contender in PEERS:
        return [str(python_of(contender)), str(HERE / "peers" / f"{contender}_peer.py"), *load]
    batch = "8" if contender == EIGHT else "1"
    return [sys.executable, "-m", "bench.queueing.ours", *load, "--batch", batch]


def run(words: list[str], look: Callable[[], None] = lambda: None) -> dict[str, float]:
    """One run in a process of its own; what it told last. Meanwhile ``look`` is called each second."""
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while True:
            try:
                out, errors = process.communicate(timeout=1)
                break
            except subprocess.TimeoutExpired:
                look()
    if process.returncode:
        raise SystemExit(f"{' '.join(words)}\nended with {process.returncode}:\n{errors[-3000:]}{out[-1000:]}")
    told: dict[str, float] = json.loads(out.splitlines()[-1])
    return told


def bars() -> Progress:
    """How far it is."""
    return Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())


def longest(asked: argparse.Namespace) -> int:
    """Jobs in the longest line."""
    return int(max([*asked.sizes, *asked.ours]))


def compare(server: RedisProcess, asked: argparse.Namespace, rates: Rates) -> None:
    """Every contender in turn, at every size, again and again; then ours alone at the larger sizes."""
    contenders = [*(peer for peer in asked.peers.split(",") if peer), ONE, EIGHT]
    for contender in contenders:
        command(contender, server.url, 1, 1)  # the environments first
    steps = [(size, who) for size in asked.sizes for _ in range(asked.repeats) for who in contenders]
    steps += [(size, EIGHT) for size in asked.ours if size != longest(asked)]
    with bars() as progress:
        task = progress.add_task("", total=len(steps))
        for size, who in steps:
            progress.update(task, description=f"{who}, {size:,} jobs")
            server.flush()
            told = run(command(who, server.url, size, asked.clients))
            rates[who, size].append(told)
            progress.console.print(f"{who}, {size:,} jobs: {told['enqueue']:.2f} s in, {told['drain']:.2f} s out")
            progress.advance(task)


def rate(rates: Rates, who: str, size: int, what: str) -> float:
    """Jobs per second, the median of the repeats."""
    return size / statistics.median(told[what] for told in rates[who, size])


def claim_cost(server: RedisProcess, asked: argparse.Namespace, folder: Path, rates: Rates) -> list[Line]:
    """Claims in the shortest and in the longest line, which is drained in the end."""
    lengths = (min(asked.sizes), longest(asked))
    server.flush()
    words = command(EIGHT, server.url, lengths[1], asked.clients)
    with bars() as progress, redis.Redis.from_url(server.url) as client:

        def run_and_watch(what: str, phase: str) -> dict[str, float]:
            task = progress.add_task(what, total=lengths[1])

            def look() -> None:
                left = client.zcard(POOL.key("due"))
                progress.update(task, completed=left if phase == "enqueue" else lengths[1] - left)

            told = run([*words, "--phase", phase], look)
            look()
            return told

        def say(text: str) -> None:
            progress.console.print(text)

        told = run_and_watch(f"filling a line of {lengths[1]:,}", "enqueue")
        say(f"{lengths[1]:,} jobs: {told['enqueue']:.1f} s in, {told['bytes']:.0f} bytes each")
        task = progress.add_task("claiming from a short and a long line", total=2 * asked.claims)
        with RedisProcess(debian_redis(), folder / "short") as short:
            step = partial(progress.advance, task)
            lines = claims(short.url, server.url, lengths, asked.claims, asked.clients, step)
        for line in lines:
            say(f"claim of 8 among {line.length:,}: {percentile(line.claims, 0.5):.2f} ms p50")
        told |= run_and_watch("draining it", "drain")
        say(f"{lengths[1]:,} jobs: {told['drain']:.1f} s out")
    rates[EIGHT, lengths[1]].append(told)
    return lines


def show(rates: Rates, lines: list[Line]) -> None:
    """Tables for people."""
    table = Table("", "jobs", "runs", "enqueued/s", "drained/s", "CPU µs a job: in", "out", "bytes a job")
    for who, size in sorted(rates, key=lambda key: (key[1], key[0] in (ONE, EIGHT))):
        used = [told["bytes"] for told in rates[who, size] if "bytes" in told]
        figures = [f"{rate(rates, who, size, what):,.0f}" for what in ("enqueue", "drain")]
        figures += [f"{1e6 / rate(rates, who, size, what):,.0f}" for what in ("enqueue_cpu", "drain_cpu")]
        memory = f"{statistics.median(used):,.0f}" if used else ""
        table.add_row(PEERS.get(who, who), f"{size:,}", str(len(rates[who, size])), *figures, memory)
    console = Console(width=110)
    console.print(table)
    table = Table("ms, one caller", "jobs in line", "p50", "p99")
    for line in lines:
        for name, values in (("claim of 8", line.claims), ("enqueue", line.enqueues), ("position", line.positions)):
            table.add_row(name, f"{line.length:,}", *(f"{percentile(values, share):.2f}" for share in (0.5, 0.99)))
    console.print(table)


def ratios(rates: Rates, peers: list[str], size: int, cost: str = "") -> dict[str, float]:
    """Ours against the best peer's, in jobs per second; with ``cost`` "_cpu" per second of computing."""

    def against(what: str, *mine: str) -> float:
        best = max((rate(rates, peer, size, what + cost) for peer in peers), default=math.inf)
        return round(statistics.median(rate(rates, who, size, what + cost) for who in mine) / best, 2)

    return {
        "drain_vs_best_peer": against("drain", EIGHT),
        "drain_batch1_vs_best_peer": against("drain", ONE),
        "enqueue_vs_best_peer": against("enqueue", ONE, EIGHT),
    }


def figures(rates: Rates, lines: list[Line], peers: list[str], size: int) -> dict[str, float]:
    """The line of JSON."""
    largest = max(size for who, size in rates if who == EIGHT)
    return {
        **ratios(rates, peers, size),
        "claim_p99_ms_1k": round(percentile(lines[0].claims, 0.99), 2),
        "claim_p99_ms_1m": round(percentile(lines[1].claims, 0.99), 2),
        "bytes_per_job": round(statistics.median(told["bytes"] for told in rates[EIGHT, largest])),
    }


def main() -> None:
    """Run everything and print one JSON line last."""
    asked = parser().parse_args()
    rates: Rates = defaultdict(list)
    try:
        program = debian_redis()
    except RedisMissingError as error:
        raise SystemExit(str(error)) from None
    with tempfile.TemporaryDirectory() as name, RedisProcess(program, Path(name) / "redis") as server:
        compare(server, asked, rates)
        lines = claim_cost(server, asked, Path(name), rates)
    show(rates, lines)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{asked.clients} clients; load of the machine {load} on {os.cpu_count()} cores")
    peers = [peer for peer in asked.peers.split(",") if peer]
    computing = ratios(rates, peers, max(asked.sizes), "_cpu")
    print("per second of computing: " + ", ".join(f"{name} {value}" for name, value in computing.items()))
    print(json.dumps(figures(rates, lines, peers, max(asked.sizes))))


if __name__ == "__main__":
    main()
