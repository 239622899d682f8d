"""A running API over a real Redis, with a published catalog and a worker that computes nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import httpx
import uvicorn
from redis.asyncio import Redis
from starlette.types import ASGIApp

from modelpool.board import Board
from modelpool.documents import Catalog, CatalogModel, CatalogSlot, Heartbeat, MeasuredModel, Stat
from modelpool.queue.connection import connect
from modelpool.queue.redis import RedisQueue
from modelpool.resources.pool import PoolRef
from modelpool_api.app import create_app
from modelpool_api.context import Context, open_context
from modelpool_api.http_protocol import HttpProtocol
from modelpool_api.settings import Settings
from support import wait_until
from support.fake_worker import FakeWorker

POOL = PoolRef("default", "studio")
SLOT = "studio-primary-0"
PAID_KEY = "a-paid-key-for-the-tests"
KEYS = f"""
keys:
- {{name: studio, key: {PAID_KEY}, lane: paid}}
- {{name: somebody, key: an-account-key-for-tests, lane: account}}
"""


def model(name: str, **changes: object) -> CatalogModel:
    """A small model of the catalog."""
    return CatalogModel.model_validate(
        {
            "name": name,
            "tier": "primary",
            "policy": "Always",
            "tasks": ["TextToImage", "ImageToImage"],
            "source": {"uri": "file:///models/x"},
            "revision": "r1",
            "weightsBytes": 1,
            "activationsBytes": 1,
            "defaults": {"width": 64, "height": 64, "steps": 4},
            "limits": {"maxPixels": 65536, "sizeMultiple": 8},
            "batch": {"max": 4},
            "secondsPerMegapixelStep": 0.15,
            "styles": [{"name": "bold", "prompt": "{prompt}, bold", "negative": "faint"}],
            **changes,
        }
    )


SHAPES = model("shapes")
CLIPS = model(
    "clips",
    tasks=["ImageToVideo"],
    defaults={"width": 64, "height": 64, "steps": 4, "frames": 8},
    limits={"maxPixels": 65536, "sizeMultiple": 8, "maxFrames": 16},
    quotaUnits=5,
)
TEST_MS = 600_000
CATALOG = Catalog(
    pool=str(POOL),
    default=True,
    models=(SHAPES, CLIPS),
    slots=(CatalogSlot(slot=SLOT, tier="primary", vram_bytes=1, host_memory_bytes=1),),
    updated_at=1_767_225_600_000,
)


def heartbeat(**changes: object) -> Heartbeat:
    """A worker that holds both models and has measured one."""
    now = time.time_ns() // 1_000_000
    measured = {"shapes": MeasuredModel(seconds_per_megapixel_step=Stat(mean=0.2, count=3), batch_cap=4)}
    beat = Heartbeat(slot=SLOT, worker="fake:1", pid=1, hot=("shapes", "clips"), measured=measured, at=now)
    return beat.model_copy(update=changes)


@dataclass
class Api:
    """What a test works with."""

    context: Context
    http: httpx.AsyncClient
    redis: Redis
    board: Board
    queue: RedisQueue
    worker: FakeWorker

    async def submit(self, **fields: object) -> str:
        """Enqueue a job for `shapes`; returns its id."""
        answer = await self.http.post("/v1/jobs", json={"model": "shapes", "prompt": "a red circle", **fields})
        assert answer.status_code in (200, 202), answer.text
        job: str = answer.json()["id"]
        return job

    async def job(self, id: str) -> dict[str, object]:
        """The job as the API shows it."""
        answer = await self.http.get(f"/v1/jobs/{id}")
        assert answer.status_code == 200, answer.text
        shown: dict[str, object] = answer.json()
        return shown


@asynccontextmanager
async def running_api(settings: Settings) -> AsyncIterator[tuple[Context, httpx.AsyncClient]]:
    """The application, started, with a client that talks to it without a network."""
    context = open_context(settings)
    app = create_app(context)
    transport = httpx.ASGITransport(app=app, client=("192.0.2.7", 4711), raise_app_exceptions=False)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://api") as http:
        yield context, http


@asynccontextmanager
async def published(redis_url: str) -> AsyncIterator[tuple[Redis, Board]]:
    """A pool with a catalog and a living worker in Redis."""
    redis = await connect(redis_url)
    try:
        board = Board(POOL, redis)
        await board.put_catalog(CATALOG)
        await board.beat(heartbeat())
        # It beats no more, and lives as long as the slowest machine takes for a test.
        await redis.pexpire(board.keys.heartbeat(SLOT), TEST_MS)
        yield redis, board
    finally:
        await redis.aclose()


@asynccontextmanager
async def served_api(
    settings: Settings, around: Callable[[ASGIApp], ASGIApp] = lambda app: app
) -> AsyncIterator[tuple[Context, httpx.AsyncClient]]:
    """The application behind a real uvicorn on a loopback port, which speaks HTTP as the process does; ``around`` may wrap it."""
    context = open_context(settings)
    app = around(create_app(context))
    config = uvicorn.Config(app, port=settings.port, http=HttpProtocol, log_config=None, proxy_headers=False)
    server = uvicorn.Server(config)
    async with AsyncExitStack() as stack:
        task = asyncio.create_task(server.serve())
        stack.push_async_callback(_stop, server, task, context)
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=f"http://127.0.0.1:{settings.port}"))
        await wait_until(lambda: server.started)
        yield context, http


async def ready(context: Context, http: httpx.AsyncClient, redis: Redis, board: Board) -> Api:
    pools = await wait_until(context.pools.all)
    await pools[0].waiting.listening.wait()
    queue = RedisQueue(POOL, redis)
    return Api(context, http, redis, board, queue, FakeWorker(queue, context.store, ("shapes", "clips")))


async def _stop(server: uvicorn.Server, task: asyncio.Task[None], context: Context) -> None:
    context.closing.set()
    server.should_exit = True
    await task
