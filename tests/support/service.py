"""A running `modelpool up` for benchmarks: started from a pool file, stopped with SIGTERM, reached over HTTP."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Timed:
    """One finished job as its client saw it. Seconds."""

    model: str
    total: float
    record: dict[str, Any]

    @property
    def computed(self) -> float:
        """The pipeline's own time, as the worker measured it."""
        return float(self.record["durations"]["computed"]) / 1000


@asynccontextmanager
async def running(pool_file: Path, *options: str) -> AsyncIterator[httpx.AsyncClient]:
    """A service on a free port with every Always model hot; everything is gone afterwards."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="modelpool-bench-") as state:
        command = [sys.executable, "-m", "modelpool_cli", "up", "-f", str(pool_file), "--models"]
        command += [str(ROOT / "models"), "--port", str(port), "--state", state, "--plain", *options]
        quiet = asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=quiet, stderr=quiet)
        try:
            limits = httpx.Limits(max_connections=200)
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=120, limits=limits) as client:
                await _until_ready(client, process)
                yield client
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
            await asyncio.wait_for(process.wait(), 60)


async def run_job(client: httpx.AsyncClient, body: dict[str, Any]) -> Timed:
    """Post a job and follow its events to the end, as the web page would.

    :raises RuntimeError: when the job does not succeed.
    """
    started = time.perf_counter()
    answer = await client.post("/v1/jobs", json=body)
    answer.raise_for_status()
    job = answer.json()
    if job["state"] != "succeeded":
        async with client.stream("GET", f"/v1/jobs/{job['id']}/events") as stream:
            async for line in stream.aiter_lines():
                if line.startswith("data:") and any(f'"{state}"' in line for state in FINAL):
                    break
    total = time.perf_counter() - started
    job = (await client.get(f"/v1/jobs/{job['id']}")).json()
    if job["state"] != "succeeded":
        raise RuntimeError(f"job {job['id']} {job['state']}: {job.get('error')}")
    return Timed(body["model"], total, job)


FINAL = ("succeeded", "failed", "cancelled", "expired")


async def _until_ready(client: httpx.AsyncClient, process: asyncio.subprocess.Process) -> None:
    for _ in range(600):
        if process.returncode is not None:
            raise RuntimeError(f"modelpool up ended with {process.returncode}")
        try:
            models = (await client.get("/v1/models")).json()["data"]
            if any(model["state"].lower() == "hot" for model in models):
                return
        except (httpx.TransportError, KeyError):
            pass
        await asyncio.sleep(0.2)
    raise RuntimeError("modelpool up was not ready within 120 s")
