"""What the pools offer."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.responses import Response

from modelpool_api.problems import responses
from modelpool_api.routes.process import Process
from modelpool_api.schemas import ModelList, ModelView
from modelpool_api.views import model_view

router = APIRouter(tags=["models"])
_HEADERS = {"Cache-Control": "no-store"}
Name = Annotated[str, Path(max_length=200, examples=["sdxl"])]


_FIRST = {"model": {"operationId": "models_model", "parameters": {"name": "$response.body#/data/0/id"}}}


@router.get(
    "/v1/models",
    summary="List the models",
    response_model=ModelList,
    responses={200: {"description": "The models.", "links": _FIRST}, **responses(503)},
)
async def models(context: Process) -> Response:
    """Every model of every pool with its state now, in OpenAI's list shape with more fields."""
    pools = context.pools.all()
    if not pools and context.pools.failure is not None:
        raise context.pools.failure
    views = [model_view(model, pool, context.now_ms()) for pool in pools for model in pool.snapshot.catalog.models]
    body = ModelList(data=tuple(views)).model_dump_json(by_alias=True, exclude_none=True)
    return Response(body, headers=_HEADERS, media_type="application/json")


@router.get("/v1/models/{name:path}", summary="One model", response_model=ModelView, responses=responses(404, 422, 503))
async def model(name: Name, context: Process) -> Response:
    """A model by its name, or by `pool/model`."""
    pool, found = await context.pools.find_model(name)
    body = model_view(found, pool, context.now_ms()).model_dump_json(by_alias=True, exclude_none=True)
    return Response(body, headers=_HEADERS, media_type="application/json")
