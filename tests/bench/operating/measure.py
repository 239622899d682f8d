"""What an operator with many pools costs, on a real API server: reconciling, writing, answering a demand miss, memory.

    PYTHONPATH=tests python -m bench.operating.measure [--pools 200]

Nodes are plain Node objects, pods are put on them and said to be ready, workers hold at once what they are told to hold:
all that is measured is the operator. The first run builds the API server, which takes minutes. The last line is JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families
from redis.asyncio import Redis
from tqdm import tqdm

from bench.operating.fleet import Fleet, Nodes, Traffic
from bench.operating.server import KUBELET, OPERATOR, RealApiServer
from bench.planner import large, milliseconds
from modelpool.queue.connection import connect
from modelpool.resources.pool import PoolRef
from modelpool_operator.cluster.api_server import ApiServer, access
from modelpool_operator.cluster.port import MODEL_POOL, ApiUnavailable
from support import RedisProcess, debian_redis, wait_until
from support.ports import unused_port

ROOT = Path(__file__).parents[3]
NAMESPACE = "bench"
SLOTS = {"primary": 4, "secondary": 3, "video": 1}
ROTATING = [f"style-{number}" for number in range(5)]
JOBS_PER_MINUTE = 30
"""Of each pool, while there is steady traffic."""
NODES = 32


def pool_object(name: str) -> dict[str, object]:
    """Eight slots: one model always, five that rotate over three, one on demand."""

    def model(model_name: str) -> dict[str, object]:
        source = {"uri": f"file:///models/{model_name}"}
        return {"name": model_name, "source": source, "weights": "14Gi", "activations": "4Gi"}

    models = {"primary": ["flat"], "secondary": ROTATING, "video": ["motion"]}
    policies = {"primary": "Always", "secondary": "Rotate", "video": "OnDemand"}
    tiers = [
        {"name": tier, "policy": policies[tier], "slots": count, "models": [model(name) for name in models[tier]]}
        for tier, count in SLOTS.items()
    ]
    spec = {"gpu": {"vram": "24Gi"}, "hostMemory": "2Gi", "workerOverhead": "1Gi", "tiers": tiers}
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": MODEL_POOL.api_version, "kind": MODEL_POOL.name, "metadata": metadata, "spec": spec}


class Measurement:
    """One run, step by step."""

    def __init__(self, server: RealApiServer, cluster: ApiServer, redis: Redis, metrics: str, pools: int) -> None:
        self.operator = psutil.Process()
        """Whose processor time counts."""
        self.server = server
        self.cluster = cluster
        self.redis = redis
        self.metrics = metrics
        self.pools = [PoolRef(NAMESPACE, f"p{number:03}") for number in range(pools)]
        slots = [f"{tier}-{index}" for tier, count in SLOTS.items() for index in range(count)]
        self.fleet = Fleet(redis, {pool: [f"{pool.name}-{slot}" for slot in slots] for pool in self.pools})
        self.traffic = [Traffic(pool, redis) for pool in self.pools]
        self.pods = len(self.pools) * len(slots)

    async def create(self) -> float:
        """Create all pools and bring up their pods. Seconds until every pool has told that all its slots are ready."""
        self.server.kubectl("create", "--filename", str(ROOT / "crds" / "modelpools.yaml"))
        self.server.kubectl("wait", "--for=condition=Established", "crd/modelpools.modelpool.dev")
        names = [f"node-{number}" for number in range(NODES)]
        self.server.kubectl.apply(
            *[{"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}} for name in names],
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        )
        began = time.monotonic()
        for pool in self.pools:
            await self.cluster.create(MODEL_POOL, pool_object(pool.name))
        nodes = Nodes(self.cluster, names)
        with tqdm(total=self.pods, desc="pods ready", unit=" pods") as bar:

            async def all_ready() -> bool:
                with contextlib.suppress(ApiUnavailable):
                    bar.update(await nodes.look() - bar.n)
                return bar.n == self.pods

            await wait_until(all_ready, timeout=600, interval=1)
        await wait_until(self._all_told_ready, timeout=300, interval=2)
        return time.monotonic() - began

    async def _all_told_ready(self) -> bool:
        try:
            listing = await self.cluster.list(MODEL_POOL, NAMESPACE)
        except ApiUnavailable:  # a busy API server asks for patience
            return False
        return all((pool.get("status") or {}).get("readySlots") == sum(SLOTS.values()) for pool in listing.items)

    async def writes_per_minute(self, seconds: float, traffic: bool) -> float:
        """Writes at the API server within a minute, all pools together."""
        busy = self.operator.cpu_times()
        since = datetime.now(UTC)
        words = "with steady traffic" if traffic else "at rest"
        async with self._serving() if traffic else contextlib.nullcontext():
            for _ in tqdm(range(round(seconds)), desc=words, unit=" s"):
                await asyncio.sleep(1)
        found = self.server.writes(since, datetime.now(UTC))
        spent = sum(self.operator.cpu_times()[:2]) - sum(busy[:2])
        print(f"{words}: the operator keeps {spent / seconds:.0%} of a core busy")
        if found:
            kinds = {kind: found.count(kind) for kind in sorted(set(found))}
            print(f"{words}: {', '.join(f'{count} × {kind}' for kind, count in kinds.items())}")
        return len(found) / seconds * 60

    @asynccontextmanager
    async def _serving(self) -> AsyncIterator[None]:
        chance = random.Random(1)

        async def users(traffic: Traffic) -> None:
            slot = self.fleet.holders(traffic.pool, "flat")[0]
            while True:
                await asyncio.sleep(chance.expovariate(JOBS_PER_MINUTE / 60))
                await traffic.ask("flat")
                await traffic.serve("flat", slot)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(users(traffic)) for traffic in self.traffic]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()

    async def misses(self, count: int) -> list[float]:
        """Seconds from a job for a model that is hot nowhere to a worker's hearing that it shall load it."""
        numbers = tqdm(range(count), desc="demand misses", unit=" misses")
        return [await self._miss(self.traffic[number % len(self.traffic)]) for number in numbers]

    async def _miss(self, traffic: Traffic) -> float:
        cold = [model for model in ROTATING if not self.fleet.holders(traffic.pool, model)]
        if not cold:
            raise RuntimeError(f"{traffic.pool}: every model is hot somewhere")
        model = cold[0]

        def told_at() -> float | None:
            return self.fleet.told_at.get((traffic.pool, model))

        async def served() -> bool:
            return await traffic.serve(model, self.fleet.holders(traffic.pool, model)[0])

        self.fleet.told_at.pop((traffic.pool, model), None)
        asked = time.monotonic()
        await traffic.ask(model)
        heard = await wait_until(told_at, 30, 0.002)
        await wait_until(served, 10)
        return (heard or asked) - asked

    async def reconcile_quantile(self, share: float, before: dict[float, float]) -> float:
        """Milliseconds, read off the histogram's buckets since ``before``."""
        counts = {edge: count - before.get(edge, 0.0) for edge, count in (await self.reconcile_buckets()).items()}
        wanted, lower, below = share * counts[float("inf")], 0.0, 0.0
        for edge, count in sorted(counts.items()):
            if count >= wanted:
                if edge == float("inf"):
                    return lower * 1000
                return 1000 * (lower + (edge - lower) * (wanted - below) / (count - below))
            lower, below = edge, count
        return lower * 1000

    async def reconcile_buckets(self) -> dict[float, float]:
        """Rounds up to so many seconds, of all pools."""
        async with httpx.AsyncClient() as http:
            text = (await http.get(self.metrics)).text
        found: dict[float, float] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == "modelpool_reconcile_seconds_bucket":
                    edge = float(sample.labels["le"])
                    found[edge] = found.get(edge, 0.0) + sample.value
        return found


async def measure(options: argparse.Namespace, folder: Path, server: RealApiServer, redis: RedisProcess) -> None:
    """Everything, and print it."""
    port = unused_port()
    cluster = ApiServer(await access(str(server.kubeconfig(KUBELET))))
    client = await connect(redis.url, max_connections=64)
    run = Measurement(server, cluster, client, f"http://127.0.0.1:{port}/metrics", options.pools)
    try:
        with operator(folder, server, redis, port) as process:
            run.operator = psutil.Process(process.pid)
            fleet = asyncio.create_task(run.fleet.run())
            seconds = await run.create()
            print(f"{options.pools} pools with {run.pods} pods: all ready after {seconds:.0f} s")
            await settle(lambda: run.writes_per_minute(5, traffic=False))
            before = await run.reconcile_buckets()
            resting = await run.writes_per_minute(options.seconds, traffic=False)
            print(f"at rest: {resting:.1f} writes a minute")
            steady = await run.writes_per_minute(options.seconds, traffic=True)
            print(
                f"{JOBS_PER_MINUTE} jobs a minute for each pool: {steady / options.pools:.2f} writes a minute and pool"
            )
            took = [1000 * one for one in await run.misses(options.misses)]
            misses = statistics.quantiles(took, n=100)
            print(f"demand miss to load command: p50 {misses[49]:.1f} ms, p95 {misses[94]:.1f} ms")
            half, most = [await run.reconcile_quantile(share, before) for share in (0.5, 0.99)]
            print(f"one observe, plan, apply: p50 {half:.1f} ms, p99 {most:.1f} ms")
            memory = run.operator.memory_info().rss / 1e6
            print(f"memory of the operator: {memory:.0f} MB")
            fleet.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await fleet
    finally:
        await client.aclose()
        await cluster.close()
    planning = max(milliseconds(large(busy, 2, random.Random(1)), 5) for busy in (0.0, 0.7, 1.0))
    print(f"plan() for 1,000 slots and 200 models: {planning:.1f} ms")
    figures = {
        "plan_ms_1000x200": round(planning, 1),
        "resting_writes_per_min": round(resting, 2),
        "steady_writes_per_min": round(steady / options.pools, 2),
        "reconcile_p99_ms": round(most, 1),
        "miss_to_load_p95_ms": round(misses[94], 1),
        "rss_mb": round(memory),
    }
    print(json.dumps(figures))


async def settle(writes: Callable[[], Awaitable[float]]) -> None:
    """Until nothing is written any more, for a minute at most."""
    for _ in range(12):
        if not await writes():
            return


@contextmanager
def operator(folder: Path, server: RealApiServer, redis: RedisProcess, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The operator's own process."""
    command = [sys.executable, "-m", "modelpool_operator", "kubernetes"]
    command += ["--redis-url", redis.url, "--store-url", "http://store.bench:8080/"]
    command += ["--kubeconfig", str(server.kubeconfig(OPERATOR)), "--listen-port", str(port)]
    with (folder / "operator.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def main() -> int:
    """Measure and print; 1 when something did not come up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pools", type=int, default=200, help="with eight slots each (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=60, help="at rest, and with traffic (default: %(default)s)")
    parser.add_argument("--misses", type=int, default=200, help="how many, one after the other (default: %(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            with RedisProcess(debian_redis(), folder / "redis") as redis, RealApiServer(folder) as server:
                asyncio.run(measure(options, folder, server, redis))
        except Exception:
            for log in ("operator.log", "kube-apiserver.log"):
                if (folder / log).exists():
                    print(f"--- the end of {log}", *(folder / log).read_text().splitlines()[-15:], sep="\n")
            raise
    return 0


if __name__ == "__main__":
    sys.exit(main())
