"""Is the process alive, can it serve, and its metrics."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import PlainTextResponse, Response

from modelpool.errors import ModelpoolError, ResultNotFound
from modelpool.queue.connection import unavailable
from modelpool_api.context import Context
from modelpool_api.routes.process import Process
from modelpool_api.schemas import Check, Readiness

router = APIRouter(tags=["health"])
_PATIENCE = 3.0


@router.get("/healthz", summary="Is the process alive?", response_class=PlainTextResponse)
async def healthz() -> Response:
    """Always 200 while the process answers at all; asks nobody else."""
    return PlainTextResponse("ok\n")


@router.get(
    "/readyz",
    summary="Can it serve?",
    response_model=Readiness,
    responses={503: {"model": Readiness, "description": "Something is away; `checks` says what."}},
)
async def readyz(context: Process) -> Response:
    """Whether Redis, the store and a catalog are there; each with a sentence."""
    redis, store = await asyncio.gather(_redis(context), _store(context))
    checks = {"redis": redis, "store": store, "catalog": _catalog(context)}
    ready = all(check.ok for check in checks.values()) and not context.closing.is_set()
    body = Readiness(ready=ready, checks=checks).model_dump_json(by_alias=True)
    return Response(body, 200 if ready else 503, {"Cache-Control": "no-store"}, "application/json")


@router.get("/metrics", summary="Metrics for Prometheus", response_class=PlainTextResponse)
async def metrics(context: Process) -> Response:
    """Text exposition format."""
    return Response(generate_latest(context.registry), media_type=CONTENT_TYPE_LATEST)


async def _redis(context: Context) -> Check:
    try:
        async with asyncio.timeout(_PATIENCE):
            client = await context.pools.client()
            with unavailable():
                await client.ping()
    except ModelpoolError as error:
        return Check(ok=False, message=error.message)
    except TimeoutError:
        return Check(ok=False, message=f"Redis does not answer within {_PATIENCE:g} s")
    return Check(ok=True, message="answers")


async def _store(context: Context) -> Check:
    try:
        async with asyncio.timeout(_PATIENCE):
            await context.store.head("results/readiness")
    except ResultNotFound:
        return Check(ok=True, message="answers")
    except ModelpoolError as error:
        return Check(ok=False, message=error.message)
    except TimeoutError:
        return Check(ok=False, message=f"the store does not answer within {_PATIENCE:g} s")
    return Check(ok=True, message="answers")


def _catalog(context: Context) -> Check:
    pools = context.pools.all()
    if not pools:
        return Check(ok=False, message="no pool has published its catalog yet; is the operator running?")
    models = sum(len(pool.snapshot.catalog.models) for pool in pools)
    return Check(ok=True, message=f"{models} models in {len(pools)} pools")
