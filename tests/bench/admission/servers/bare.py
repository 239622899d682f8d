"""A bare FastAPI route that does one Redis SET."""

from __future__ import annotations

import os
import uuid

from fastapi import FastAPI
from redis.asyncio import BlockingConnectionPool, Redis

from bench.admission.servers.fields import Body

app = FastAPI()
redis = Redis.from_pool(BlockingConnectionPool.from_url(os.environ["BENCH_REDIS_URL"], max_connections=96))


@app.post("/v1/jobs", status_code=202)
async def create(body: Body) -> dict[str, str]:
    """Store the request."""
    id = uuid.uuid4().hex
    await redis.set(f"job:{id}", body.model_dump_json(), ex=3600)
    return {"id": id, "state": "queued"}
