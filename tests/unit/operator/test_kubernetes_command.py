"""The command ``kubernetes`` while Redis is not there yet, and its listings while the API server does not answer."""

import argparse
import asyncio
import json
import socket
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from modelpool_operator.cluster.fake import FakeCluster
from modelpool_operator.cluster.port import MODEL_POOL
from modelpool_operator.cluster.sightings import Sightings
from modelpool_operator.commands import kubernetes
from modelpool_operator.commands.kubernetes_options import add_options
from support import wait_until
from support.pool_specs import pool_object


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def kubeconfig(folder: Path) -> Path:
    written = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
        "clusters": [{"name": "here", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "me", "user": {"token": "t"}}],
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps(written))
    return path


async def test_the_probes_are_answered_while_redis_is_awaited(tmp_path: Path) -> None:
    port, parser = free_port(), argparse.ArgumentParser()
    add_options(parser)
    where = ["--redis-url", f"redis://127.0.0.1:{free_port()}/0", "--store-url", "http://127.0.0.1:1/"]
    where += ["--kubeconfig", str(kubeconfig(tmp_path)), "--listen-port", str(port)]
    task = asyncio.create_task(kubernetes._serve(parser.parse_args(where)))
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            for _ in range(50):
                with suppress(httpx.ConnectError):
                    assert (await http.get("/healthz")).status_code == 200
                    break
                await asyncio.sleep(0.1)
            ready = await http.get("/readyz")
        assert (ready.status_code, ready.text) == (503, "waiting for Redis")
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_a_listing_that_failed_is_tried_again_soon_and_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    cluster = FakeCluster()
    await cluster.create(MODEL_POOL, pool_object())
    sightings = Sightings(lambda pool: None)
    rests: list[float] = []

    async def rest(seconds: float) -> None:
        rests.append(seconds)
        cluster.away = 1 < len(rests) < 4
        await asyncio.sleep(0)

    task = asyncio.create_task(kubernetes._list_for_ever(sightings, cluster, [], rest))
    try:
        await wait_until(lambda: len(rests) >= 5, interval=0)
    finally:
        task.cancel()
    minute, soon = kubernetes.LIST_SECONDS, kubernetes.LIST_AGAIN_SECONDS
    assert rests[:5] == [minute, minute, soon, soon, minute]
    assert [record.getMessage() for record in caplog.records] == ["the cluster cannot be listed"]
    assert len(sightings.pools()) == 1
