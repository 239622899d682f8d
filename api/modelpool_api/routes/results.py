"""Results: bytes at unguessable addresses, made for caches and video players."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from modelpool.errors import InvalidInput, ResultNotFound
from modelpool.store.keys import content_type
from modelpool.store.sweep import RESULT_LIFE_MS
from modelpool_api.byte_ranges import Unsatisfiable, matches, parse_range
from modelpool_api.problems import problem_response, responses
from modelpool_api.routes.process import Process

router = APIRouter(tags=["results"])

Name = Annotated[str, Path(max_length=200, description="From the job's `result.url`.", examples=["Zk3vH1mQx2c9.png"])]
_BYTES = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in ("image/png", "image/webp", "video/mp4")}


class RangeOutside(InvalidInput):
    """The range lies outside of the file."""

    code = "range_not_satisfiable"
    status = 416
    title = "Range not satisfiable"


@router.head("/v1/results/{name}", include_in_schema=False)
@router.get(
    "/v1/results/{name}",
    summary="Fetch a finished file",
    response_class=Response,
    responses={
        200: {"description": "The file.", "content": _BYTES},
        206: {"description": "The bytes that `Range` asks for."},
        304: {"description": "`If-None-Match` names this file: it has not changed, it never does."},
        **responses(404, 416, 422, 503),
    },
)
async def result(
    name: Name,
    request: Request,
    context: Process,
    download: Annotated[bool, Query(description="Save it rather than show it.")] = False,
) -> Response:
    """The bytes. They never change, live 24 hours, and any cache may keep them for the rest of that time."""
    key = f"results/{name}"
    data: bytes | None = None
    unread = request.method == "HEAD" or "if-none-match" in request.headers
    if unread:
        found = await context.store.head(key)
    else:
        found, data = await context.store.fetch(key)
    etag = f'"{found.etag}"'
    left = (RESULT_LIFE_MS - max(0, context.now_ms() - found.modified_at)) // 1000
    # Swept or not: a cache that asked again and heard "unchanged, for 0 s" would keep it for another life.
    if left < 1:
        raise ResultNotFound("there is no such file any more: results live 24 hours")
    kind = "attachment" if download else "inline"
    headers = {
        "ETag": etag,
        "Cache-Control": f"public, max-age={left}, immutable",
        "Content-Disposition": f'{kind}; filename="{name}"',
        "Accept-Ranges": "bytes",
        "X-Content-Type-Options": "nosniff",
    }
    if matches(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    media_type = content_type(key)
    if request.method == "HEAD":
        return Response(headers=headers | {"Content-Length": str(found.size)}, media_type=media_type)
    if data is None:
        data = await context.store.get(key)
    asked = request.headers.get("range") if request.headers.get("if-range", etag) == etag else None
    try:
        part = parse_range(asked, len(data))
    except Unsatisfiable:
        refusal = problem_response(RangeOutside(f"the file has {len(data)} bytes", param="Range"), request.url.path)
        refusal.headers["Content-Range"] = f"bytes */{len(data)}"
        return refusal
    if part is None:
        return Response(data, headers=headers, media_type=media_type)
    first, last = part
    headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
    return Response(data[first : last + 1], 206, headers, media_type)
