"""The API as a process: how it starts, what it imports, how it ends."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from modelpool.queue.redis import RedisQueue
from support import unused_port, wait_until
from support.running_api import POOL, published
from support.waiting import PATIENCE_SECONDS

BLOCK = "import sys; [sys.modules.__setitem__(name, None) for name in ('torch', 'diffusers', 'kopf', 'kubernetes')]; "
LIBRARIES = "fastapi, uvicorn, redis.asyncio, obstore, httpx, PIL.Image"
START_PER_IMPORT = 3
"""A start may take so many times the processor time that importing its libraries takes; 1.5 to 2 were seen."""


@pytest.fixture
def redis_url(redis_url_any: str) -> str:
    """Nothing here can depend on Redis's version."""
    return redis_url_any


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)


def test_the_api_works_where_torch_and_kubernetes_cannot_be_imported() -> None:
    done = python(
        BLOCK + "from modelpool_api.settings import Settings; from modelpool_api.context import open_context; "
        "from modelpool_api.app import create_app; create_app(open_context(Settings())).openapi()"
    )
    assert done.returncode == 0, done.stderr


def test_help_answers_without_loading_the_server() -> None:
    done = python(
        "import sys, click\nfrom modelpool_api.__main__ import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: print('loaded:', sorted({'fastapi', 'uvicorn', 'redis', 'obstore'} & set(sys.modules)))"
    )
    assert "--redis-url" in done.stdout
    assert "loaded: []" in done.stdout


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ([], "--store-url"),
        (["--store-url", "ftp://x"], "is not known"),
        (["--store-url", "memory:", "--port", "0"], "--port"),
        (["--store-url", "memory:", "--max-bodies-bytes", "1"], "--max-bodies-bytes"),
        (["--store-url", "memory:", "--max-bodies-bytes", "65536"], "raise --max-bodies-bytes or lower"),
        (["--store-url", "memory:", "--api-keys", "/absent.yaml"], "cannot be read"),
        (["--store-url", "memory:", "--admin-token", "admin"], "the admin token needs at least 24 characters"),
    ],
)
def test_a_setting_that_cannot_work_is_one_clear_line(args: list[str], says: str) -> None:
    command = [sys.executable, "-m", "modelpool_api", *args]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={})
    assert done.returncode != 0
    assert says in done.stderr
    assert "Traceback" not in done.stderr


@asynccontextmanager
async def process(redis_url: str, folder: Path, *flags: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """The API as a process of its own, started; killed if it still runs at the end."""
    port = unused_port()
    args = ["--redis-url", redis_url, "--store-url", f"file://{folder}/store", "--port", str(port), *flags]
    log = (folder / "api.log").open("wb")
    running = await asyncio.create_subprocess_exec(sys.executable, "-m", "modelpool_api", *args, stdout=log, stderr=log)
    try:
        yield running, f"http://127.0.0.1:{port}"
    finally:
        if running.returncode is None:
            running.kill()
        await running.wait()
        log.close()


async def answers(http: httpx.AsyncClient, path: str) -> bool:
    try:
        return (await http.get(path)).status_code == 200
    except httpx.TransportError:
        return False


async def test_it_starts_fast_serves_and_ends_in_order(redis_url: str, tmp_path: Path) -> None:
    async with (
        published(redis_url) as (redis, _),
        process(redis_url, tmp_path, "--root-path", "/pool") as (running, url),
        httpx.AsyncClient(base_url=url, timeout=PATIENCE_SECONDS) as http,
    ):
        queue = RedisQueue(POOL, redis)
        await wait_until(lambda: answers(http, "/healthz"))
        # No seconds: beside other tests even its own processor time doubles.
        used = psutil.Process(running.pid).cpu_times()
        imported = float(python(f"import time, {LIBRARIES}; print(time.process_time())").stdout)
        assert used.user + used.system < START_PER_IMPORT * imported
        await wait_until(lambda: answers(http, "/readyz"))
        answer = await http.post("/v1/jobs", json={"model": "shapes", "prompt": "confidential words"})
        assert answer.headers["location"].startswith("/pool/v1/jobs/")
        assert answer.headers.get("server") is None
        assert "modelpool" in (await http.get("/")).text

        async def both_are_in() -> bool:
            return (await queue.depths())["shapes"].queued == 2

        patient = {"model": "shapes", "prompt": "other words"}
        waits = asyncio.create_task(http.post("/v1/jobs", json=patient, headers={"Prefer": "wait=60"}))
        await wait_until(both_are_in)
        running.terminate()
        answer = await waits
        assert (answer.status_code, answer.json()["state"]) == (202, "queued"), "sent home, not cut off"
        assert await running.wait() in (0, -15)
    log = (tmp_path / "api.log").read_text()
    assert "confidential" not in log
    assert "Traceback" not in log


async def test_while_it_drains_every_answer_asks_for_the_connection_to_be_closed_so_none_is_closed_under_a_request(
    redis_url: str, tmp_path: Path
) -> None:
    async with (
        process(redis_url, tmp_path, "--drain-seconds", "60") as (running, url),
        httpx.AsyncClient(base_url=url, timeout=PATIENCE_SECONDS) as idle,
        httpx.AsyncClient(base_url=url, timeout=PATIENCE_SECONDS) as busy,
    ):
        await wait_until(lambda: answers(idle, "/healthz"))
        assert (await busy.get("/healthz")).headers.get("connection") is None
        running.terminate()

        async def is_asked_to_go() -> bool:
            return bool((await busy.get("/healthz")).headers.get("connection") == "close")

        await wait_until(is_asked_to_go)
        assert running.returncode is None, "somebody's connection is open still"
        assert (await idle.get("/healthz")).headers["connection"] == "close"
        assert await asyncio.wait_for(running.wait(), PATIENCE_SECONDS) in (0, -15), (
            "nobody is left, so nobody is waited for"
        )


async def test_how_much_of_all_bodies_is_read_at_a_time_is_a_setting_and_a_network_leaves_as_much_to_others(
    redis_url: str, tmp_path: Path
) -> None:
    most = 192 * 1024
    sizes = ("--max-body-bytes", str(most), "--max-bodies-bytes", str(2 * most))
    elsewhere = httpx.AsyncHTTPTransport(local_address="127.0.0.2")
    async with (
        published(redis_url),
        process(redis_url, tmp_path, *sizes) as (_, url),
        httpx.AsyncClient(base_url=url, timeout=PATIENCE_SECONDS) as http,
        httpx.AsyncClient(base_url=url, timeout=PATIENCE_SECONDS, transport=elsewhere) as another,
    ):
        await wait_until(lambda: answers(http, "/readyz"))

        async def largest(http: httpx.AsyncClient) -> tuple[int, str]:
            answer = await http.post("/v1/jobs", content=b" " * most, headers={"Content-Type": "application/json"})
            return answer.status_code, answer.json()["error"]["code"]

        async def there_is_no_room() -> bool:
            return await largest(http) == (429, "too_many_requests")

        read = (400, "malformed_request")
        assert await largest(http) == read
        _, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(b"POST /v1/jobs HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % most + b" " * (most - 1))
        await wait_until(there_is_no_room)
        assert await largest(another) == read
        writer.close()
        await writer.wait_closed()


async def test_what_is_no_http_is_told_so_in_a_problem_and_the_connection_closed(
    redis_url: str, tmp_path: Path
) -> None:
    async with process(redis_url, tmp_path) as (_, url), httpx.AsyncClient(base_url=url) as http:
        await wait_until(lambda: answers(http, "/healthz"))
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(b"this is no HTTP\r\n\r\n")
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        await writer.wait_closed()
    lines = head.decode().lower().split("\r\n")
    assert lines[0] == "http/1.1 400 bad request"
    assert {"content-type: application/problem+json", "connection: close", "x-content-type-options: nosniff"} <= {
        *lines
    }
    assert json.loads(body)["error"]["code"] == "malformed_request"
