"""Jobs: create, read, cancel."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from types import MappingProxyType
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from modelpool.jobs import JobRecord
from modelpool.queue.port import Outcome
from modelpool_api.admission import admit, enqueue
from modelpool_api.bodies import read_job
from modelpool_api.body_limit import let_body_go, own_body
from modelpool_api.context import Context
from modelpool_api.header_values import header_values
from modelpool_api.outcomes import Outcomes
from modelpool_api.pools import Pool
from modelpool_api.preferences import MAX_WAIT, preferred_wait
from modelpool_api.problems import responses
from modelpool_api.routes.examples import (
    FINGERPRINT_PARAMETER,
    JOB_EXAMPLE,
    JOB_LINKS,
    KEY_OR_NOTHING,
    REQUEST_EXAMPLES,
    SOLUTION_PARAMETER,
)
from modelpool_api.routes.process import Process, Root, root_of, subject_of
from modelpool_api.schemas import JobBody, JobView
from modelpool_api.views import job_view

router = APIRouter(tags=["jobs"])
PATH = "/v1/jobs"

JobId = Annotated[str, Path(max_length=200, description="As given by `POST /v1/jobs`.", examples=["5x2abcde-Vx…"])]
WaitQuery = Annotated[
    float, Query(ge=0, le=MAX_WAIT, description="Answer when the job has ended, or after this many seconds.")
]
_JSON = {"application/json": {"example": JOB_EXAMPLE}}
_HEADERS = {"Cache-Control": "no-store"}
_LOCATION = {"Location": {"schema": {"type": "string"}, "description": "The job's address."}}


def _form() -> dict[str, Any]:
    """The same fields as ``JobBody``, each as text, and the image as a file."""
    fields = JobBody.model_json_schema(ref_template="#/components/schemas/{model}")["properties"]
    for field in fields.values():
        given = [kind for kind in field.pop("anyOf", []) if kind != {"type": "null"}]
        field |= given[0] if len(given) == 1 else {"anyOf": given} if given else {}
        field.pop("default", None)
    fields["image"] = {"type": "string", "format": "binary"}
    return {
        "type": "object",
        "required": ["model"],
        "description": "The same fields as text, and the image as a file.",
        "properties": fields,
        "additionalProperties": False,
    }


_BODY: dict[str, Any] = {
    "security": KEY_OR_NOTHING,
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/JobBody"},
                "examples": REQUEST_EXAMPLES,
            },
            "multipart/form-data": {
                "schema": _form(),
            },
        },
    },
    "parameters": [
        {
            "name": "Prefer",
            "in": "header",
            "schema": {"type": "string"},
            "example": "wait=30",
            "description": f"`wait=N`: answer when the job has ended, or after N seconds (at most {MAX_WAIT:g}).",
        },
        {
            "name": "Idempotency-Key",
            "in": "header",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255},
            "description": "The same key and body bring the same job again; with another body: 422.",
        },
        FINGERPRINT_PARAMETER,
        SOLUTION_PARAMETER,
    ],
}


async def create(request: Request) -> Response:
    """Put a job into the queue. Only `model` is required: the model's defaults fill the rest.

    Answers 202 at once, or with `Prefer: wait=N` as soon as the job has ended.
    """
    state = request.app.state
    context: Context = state.context
    outcomes: Outcomes = state.outcomes
    root = root_of(request)
    subject = await subject_of(request)
    own_body(request, subject.party)
    admission = await admit(context, subject, await read_job(request))
    let_body_go(request)
    pool, job = admission.pool, admission.job
    wait = preferred_wait(header_values(request).get("prefer"))
    # Who waits listens before there is anything to hear.
    with pool.waiting.watch(job.id) if wait else nullcontext() as watch:
        outcomes.expect(job.id)
        try:
            enqueued = await enqueue(context, admission)
        except BaseException:
            outcomes.forget(job.id)
            raise
        record = enqueued.record
        if record.id != job.id:
            outcomes.forget(job.id)
        elif enqueued.outcome is not Outcome.REPEATED:
            outcomes.admitted(record)
        if watch is not None and not record.state.is_final:
            if record.id == job.id:
                record = await pool.waiting.final_of(watch, record, wait or 0)
            else:
                record = await pool.waiting.final(record.id, wait or 0)
    position = enqueued.position if record.seq == enqueued.record.seq else await _position(pool, record)
    headers = {"Location": f"{root}/v1/jobs/{record.id}", **admission.reserved.balance.headers()}
    if wait is not None:
        headers["Preference-Applied"] = f"wait={wait:g}"
    if enqueued.outcome is Outcome.REPEATED:
        headers["Idempotency-Replayed"] = "true"
    status = 200 if record.state.is_final else 202
    return _answer(context, pool, record, root, position, status=status, headers=headers)


router.add_api_route(
    PATH,
    create,
    methods=["POST"],
    summary="Ask for a picture or a video",
    status_code=202,
    response_model=JobView,
    responses={
        200: {
            "description": "The job has ended already.",
            "model": JobView,
            "content": _JSON,
            "links": JOB_LINKS,
            "headers": _LOCATION,
        },
        202: {
            "description": "The job waits or runs; `Location` is its address.",
            "content": _JSON,
            "links": JOB_LINKS,
            "headers": _LOCATION,
        },
        **responses(400, 401, 404, 408, 413, 422, 429, 503),
    },
    openapi_extra=_BODY,
)


@router.get(
    "/v1/jobs/{id}",
    summary="Where a job stands",
    response_model=JobView,
    responses={200: {"description": "The job.", "content": _JSON}, **responses(404, 422, 503)},
)
async def read(id: JobId, context: Process, root: Root, wait: WaitQuery = 0) -> Response:
    """The job with its position, estimate and progress. With `?wait=N` a long poll."""
    pool = context.pools.of_job(id)
    record = await (pool.waiting.final(id, wait) if wait else pool.queue.get(id))
    return _answer(context, pool, record, root, await _position(pool, record))


@router.delete(
    "/v1/jobs/{id}",
    summary="Cancel a job",
    response_model=JobView,
    responses={200: {"description": "The job, cancelled."}, **responses(404, 409, 422, 503)},
)
async def cancel(id: JobId, context: Process, root: Root) -> Response:
    """Cancel a job that has not ended. A running one is stopped, or its picture discarded."""
    pool = context.pools.of_job(id)
    return _answer(context, pool, await pool.queue.cancel(id), root, None)


async def _position(pool: Pool, record: JobRecord) -> int | None:
    return None if record.state.is_final or record.started_at else await pool.queue.position(record.id)


def _answer(
    context: Context,
    pool: Pool,
    record: JobRecord,
    root: str,
    position: int | None,
    *,
    status: int = 200,
    headers: Mapping[str, str] = MappingProxyType({}),
) -> Response:
    hint = pool.waiting.progress_of(record)
    view = job_view(record, pool, context.now_ms(), root=root, position=position, hint=hint)
    # A preview is for live updates: a poll would fetch the same bytes again and again.
    exclude = {"preview"} if view.preview is not None else None
    body = view.model_dump_json(by_alias=True, exclude_none=True, exclude=exclude)
    return Response(body, status, {**_HEADERS, **headers}, "application/json")
