"""The operator as a process of its own: ready soon, ends in order, steps back for a newer one."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpx

from modelpool_operator.__main__ import EXIT_INVALID, EXIT_STALE
from support import unused_port, wait_until
from support.operator_stage import Stage
from support.waiting import PATIENCE_SECONDS


@asynccontextmanager
async def process(stage: Stage, redis_url: str, *more: str) -> AsyncIterator[asyncio.subprocess.Process]:
    started = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "modelpool_operator", "local"),
        *("--pool-file", str(stage.file)),
        *("--redis-url", redis_url),
        *("--runtime-socket", str(stage.file.with_suffix(".sock"))),
        *more,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield started
    finally:
        with suppress(ProcessLookupError):
            started.kill()
        await started.communicate()


async def ended(started: asyncio.subprocess.Process) -> tuple[int | None, str]:
    """Exit code and the last line on standard error."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        _, said = await started.communicate()
    return started.returncode, said.decode().splitlines()[-1]


async def test_it_serves_health_and_metrics_and_ends_in_order(stage: Stage, redis_url: str) -> None:
    port = unused_port()
    async with process(stage, redis_url, "--listen-port", str(port)) as operator:
        await wait_until(stage.is_condition("Degraded", "True", "RuntimeUnavailable"))
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
            assert (await http.get("/healthz")).status_code == 200
            assert "modelpool_reconcile_seconds_count" in (await http.get("/metrics")).text
        operator.terminate()
        code, said = await ended(operator)
        assert code == 0
        assert "stopped; the workers serve on" in said


async def test_it_steps_back_for_a_newer_operator_and_says_so(stage: Stage, redis_url: str) -> None:
    async with stage.all_workers(), process(stage, redis_url) as operator:
        await wait_until(stage.is_condition("Ready", "True", "Serving"))
        await stage.board.take_epoch()
        await stage.ask("motion")
        assert await ended(operator) == (
            EXIT_STALE,
            "pool default/studio: a newer operator (epoch 2) has taken over from this one (epoch 1)",
        )


async def test_a_redis_that_will_not_do_is_one_line(stage: Stage, redis_url: str) -> None:
    await stage.client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        async with process(stage, redis_url) as operator:
            code, said = await ended(operator)
        assert code == EXIT_INVALID
        assert "set it to noeviction" in said
    finally:
        await stage.client.config_set("maxmemory-policy", "noeviction")
