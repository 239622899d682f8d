"""Whole worker processes, forked with torch preloaded as ``modelpool up`` does it, on the real engine."""

from __future__ import annotations

import asyncio
import io
import json
import multiprocessing
import os
import signal
from collections.abc import Iterator
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

import av
import pytest
from PIL import Image
from redis.asyncio import Redis

from modelpool.board import Board
from modelpool.jobs import JobState
from modelpool.queue.connection import connect
from modelpool.queue.redis import RedisQueue
from modelpool.resources.models import Source, Task
from modelpool.store.open import open_store
from modelpool_worker.config import EngineKind, WorkerConfig
from modelpool_worker.main import EXIT_CANNOT_START, EXIT_DEVICE_FAILED, EXIT_OK, run_forked
from modelpool_worker.timings import Timings
from support import RedisProcess, bundled_redis
from support.pipelines import SIZE, build_image_to_video, build_text_to_image
from support.waiting import PATIENCE_SECONDS
from support.worker import MEBI, POOL, SLOT, Pool, model


@pytest.fixture(scope="module")
def forks() -> ForkServerContext:
    """A fork server that has imported torch and the pipelines."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["modelpool_worker.preload"])
    return context


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with one tiny model of each kind."""
    folder = tmp_path_factory.mktemp("models")
    build_text_to_image(folder / "a").rename(folder / "pictures")
    build_image_to_video(folder / "b").rename(folder / "videos")
    return folder


class Process:
    """One worker process."""

    def __init__(self, context: ForkServerContext, config: WorkerConfig) -> None:
        self._process: ForkServerProcess = context.Process(target=run_forked, args=(config,))
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    async def ended(self) -> int:
        """The exit code."""
        await asyncio.to_thread(self._process.join, PATIENCE_SECONDS)
        assert self._process.exitcode is not None
        return self._process.exitcode

    def kill(self) -> None:
        """End it however it is."""
        self._process.kill()
        self._process.join()


@pytest.fixture
def processes() -> Iterator[list[Process]]:
    """Workers of a test; none outlives it."""
    started: list[Process] = []
    yield started
    for process in started:
        process.kill()


def configured(folder: Path, redis_url: str, models: Path = Path("/none"), **changes: object) -> WorkerConfig:
    fields: dict[str, object] = {
        "pool": str(POOL),
        "slot": SLOT,
        "redis_url": redis_url,
        "store_url": f"file://{folder / 'store'}",
        "models_dir": models,
        "vram_bytes": 500 * MEBI,
        "host_memory_bytes": 500 * MEBI,
        "threads": 1,
        "log_file": folder / "worker.log",
    }
    return WorkerConfig(**(fields | changes))  # type: ignore[arg-type]


@pytest.mark.slow
async def test_pictures_and_videos_come_out_of_a_real_worker(
    pool: Pool,
    forks: ForkServerContext,
    models: Path,
    processes: list[Process],
    redis_url_any: str,
    tmp_path: Path,
) -> None:
    pool.store = open_store(f"file://{tmp_path / 'store'}")
    await pool.offer(model("pictures"), model("videos"))
    await pool.assign("pictures", "videos")
    processes.append(Process(forks, configured(tmp_path, redis_url_any, models)))

    pictures = [
        await pool.ask("pictures", "red", width=SIZE, height=SIZE, format=kind) for kind in ("png", "webp", "jpeg")
    ]
    records = [await pool.ended(job) for job in pictures]
    for record, kind in zip(records, ("PNG", "WEBP", "JPEG"), strict=True):
        assert record.result is not None, record.error
        image = Image.open(io.BytesIO(await pool.store.get(record.result.key)))
        assert (image.format, image.size) == (kind, (SIZE, SIZE))

    key = f"inputs/{'ab' * 32}.png"
    source = io.BytesIO()
    Image.new("RGB", (SIZE, SIZE), (200, 30, 30)).save(source, "PNG")
    await pool.store.put(key, source.getvalue())
    video = await pool.ask(
        "videos", task=Task.IMAGE_TO_VIDEO, input=key, frames=4, format="mp4", width=SIZE, height=SIZE
    )
    record = await pool.ended(video)
    assert record.result is not None, record.error
    with av.open(io.BytesIO(await pool.store.get(record.result.key)), "r") as container:
        frames = list(container.decode(video=0))
    assert [(frame.width, frame.height) for frame in frames] == [(SIZE, SIZE)] * 4

    beat = await pool.heartbeat()
    assert beat is not None
    assert beat.measured["pictures"].weights_bytes
    assert (beat.device, beat.uuid, beat.pid) == ("cpu", "cpu", processes[0].pid)

    os.kill(processes[0].pid, signal.SIGTERM)
    assert await processes[0].ended() == EXIT_OK
    assert await pool.heartbeat() is None, "it has said goodbye"
    log = (tmp_path / "worker.log").read_text()
    assert all(json.loads(line)["slot"] == SLOT for line in log.splitlines())
    assert "red" not in {word for line in log.splitlines() for word in json.loads(line)["message"].split()}


@pytest.mark.slow
@pytest.mark.parametrize("harm", ["missing", "truncated", "pickle"])
async def test_a_broken_model_is_reported_and_others_are_served(
    pool: Pool,
    forks: ForkServerContext,
    models: Path,
    processes: list[Process],
    redis_url_any: str,
    tmp_path: Path,
    harm: str,
) -> None:
    broken = tmp_path / "broken"
    if harm != "missing":
        build_text_to_image(tmp_path / "new").rename(broken)
    if harm == "truncated":
        weights = broken / "unet" / "diffusion_pytorch_model.safetensors"
        weights.write_bytes(weights.read_bytes()[:1000])
    if harm == "pickle":
        (broken / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"")
    await pool.offer(model("broken", source=Source(uri=f"file://{broken}")), model("pictures"))
    await pool.assign("broken", "pictures")
    processes.append(Process(forks, configured(tmp_path, redis_url_any, models)))
    beat = await pool.until(lambda beat: beat.version == 1)
    assert beat.hot == ("pictures",)
    assert beat.failed["broken"].code == "model_load_failed"
    record = await pool.ended(await pool.ask("pictures", width=SIZE, height=SIZE))
    assert record.state is JobState.SUCCEEDED


async def test_a_failed_device_ends_the_process(
    pool: Pool, forks: ForkServerContext, processes: list[Process], redis_url_any: str, tmp_path: Path
) -> None:
    await pool.offer(model("flat"))
    await pool.assign("flat")
    processes.append(Process(forks, configured(tmp_path, redis_url_any, engine=EngineKind.SIMULATED)))
    await pool.ask("flat", "[device]")
    assert await processes[0].ended() == EXIT_DEVICE_FAILED


async def test_a_redis_that_will_not_do_is_refused(
    client: Redis, forks: ForkServerContext, processes: list[Process], redis_url_any: str, tmp_path: Path
) -> None:
    await client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        processes.append(Process(forks, configured(tmp_path, redis_url_any, engine=EngineKind.SIMULATED)))
        assert await processes[0].ended() == EXIT_CANNOT_START
    finally:
        await client.config_set("maxmemory-policy", "noeviction")
    assert "noeviction" in (tmp_path / "worker.log").read_text()


@pytest.mark.slow
async def test_a_worker_outlives_redis(forks: ForkServerContext, processes: list[Process], tmp_path: Path) -> None:

    with RedisProcess(bundled_redis(), tmp_path / "redis", ["--appendonly", "yes", "--appendfsync", "always"]) as redis:
        connection = await connect(redis.url)
        board = Board(POOL, connection)
        pool = Pool(
            RedisQueue(POOL, connection), board, open_store(f"file://{tmp_path / 'store'}"), await board.take_epoch()
        )
        await pool.offer(model("flat", batch=2))
        await pool.assign("flat")
        timings = Timings(step=0.02)
        processes.append(Process(forks, configured(tmp_path, redis.url, engine=EngineKind.SIMULATED, timings=timings)))
        jobs = [await pool.ask("flat", steps=10) for _ in range(20)]
        await pool.ended(jobs[0])
        redis.kill()
        redis.start()
        records = [await pool.ended(job) for job in jobs]
        assert [record.state for record in records] == [JobState.SUCCEEDED] * 20
        assert len({record.result.key for record in records if record.result}) == 20
        files = [found.key async for found in pool.store.list("results")]
        assert len(files) == 20
        await connection.aclose()
