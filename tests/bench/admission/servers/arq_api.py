"""A FastAPI route that enqueues an arq job."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from arq import create_pool
from arq.connections import RedisSettings
from fastapi import FastAPI, Request

from bench.admission.servers.fields import Body


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Connect."""
    app.state.arq = await create_pool(RedisSettings.from_dsn(os.environ["BENCH_REDIS_URL"]))
    yield
    await app.state.arq.aclose()


app = FastAPI(lifespan=lifespan)


@app.post("/v1/jobs", status_code=202)
async def create(body: Body, request: Request) -> dict[str, str]:
    """Enqueue the request."""
    job = await request.app.state.arq.enqueue_job("generate", body.model_dump())
    return {"id": job.job_id, "state": "queued"}
