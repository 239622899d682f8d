"""Reading the body of ``POST /v1/jobs``: JSON, or multipart with the image as a file."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from modelpool.errors import InvalidInput, ModelpoolError
from modelpool_api.challenges import SOLUTION_HEADER
from modelpool_api.drafts import Asked
from modelpool_api.header_values import header_values
from modelpool_api.problems import Malformed, invalid_fields
from modelpool_api.schemas import JobBody

_MAX_FIELD = 64 * 1024
_CHARSETS = (b"utf-8", b"utf8", b"us-ascii")
"""Python knows others, which make of bytes what is no text, or take the square of a text's length."""
_MOST_MARKS = 20_000
"""Quotes, commas and brackets of a body: two prompts may have some, a picture has none. Each may become an object."""


async def read_job(request: Request) -> Asked:
    """The request's body, checked field by field.

    :raises InvalidInput: what is wrong and how to mend it; never a server error, whatever came.
    """
    headers = header_values(request)
    key, solution = headers.get("idempotency-key"), headers.get(SOLUTION_HEADER)
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        fields, upload = await _read_form(request)
        return Asked(_validated(fields), upload, key, solution)
    if kind not in ("", "application/json") and not kind.endswith("+json"):
        raise Malformed(
            f"the content type {kind[:80]!r} is not read here; send application/json or multipart/form-data"
        )
    # Not `request.body()`, which keeps it as long as the request waits for its job.
    return Asked(parse_json(b"".join([chunk async for chunk in request.stream()])), None, key, solution)


def parse_json(raw: bytes) -> JobBody:
    """A body from JSON. Strict: "512" is no number and true is no number either."""
    if len(raw) > _MOST_MARKS and sum(map(raw.count, (b'"', b",", b"[", b"{"))) > _MOST_MARKS:
        raise Malformed("the body has too many parts; send the fields of a request, and nothing else")
    try:
        return JobBody.model_validate_json(raw, strict=True)
    except ValidationError as error:
        if any(found["type"] == "json_invalid" for found in error.errors(include_input=False, include_context=False)):
            raise Malformed("the body is no JSON; check quotes, commas and the encoding (UTF-8)") from None
        if any(found["type"] == "model_type" and not found["loc"] for found in error.errors(include_input=False)):
            raise InvalidInput('the body must be an object such as {"model": "…", "prompt": "…"}') from None
        raise invalid_fields(error, JobBody) from None


def _validated(fields: dict[str, Any]) -> JobBody:
    try:
        return JobBody.model_validate(fields)
    except ValidationError as error:
        raise invalid_fields(error, JobBody) from None


async def _read_form(request: Request) -> tuple[dict[str, Any], bytes | None]:
    _, options = parse_options_header(request.headers["content-type"])
    if options.get(b"charset", b"utf-8").lower() not in _CHARSETS:
        raise Malformed("forms are read as UTF-8; send this one so, and leave its charset away")
    try:
        async with request.form(max_files=1, max_fields=40, max_part_size=_MAX_FIELD) as form:
            fields: dict[str, Any] = {}
            upload: bytes | None = None
            for name, value in form.multi_items():
                if name in fields or (name == "image" and upload is not None):
                    raise InvalidInput(f"the field {name[:100]!r} came twice", param=name[:100])
                if isinstance(value, UploadFile):
                    if name != "image":
                        raise InvalidInput(
                            f"unknown file {name[:100]!r}; the file's field is 'image'", param=name[:100]
                        )
                    upload = await value.read()
                elif value != "":
                    # An empty field of a web form means that nobody filled it in.
                    fields[name] = {"job": value} if name == "image" else value
            return fields, upload
    except ModelpoolError:
        raise
    except HTTPException as error:
        raise Malformed(f"the form cannot be read: {error.detail}") from None
    except (UnicodeDecodeError, ValueError, KeyError) as error:
        raise Malformed("the form cannot be read; check its boundary and encoding") from error
