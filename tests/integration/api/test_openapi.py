"""The OpenAPI document describes what the routes really do."""

from __future__ import annotations

from typing import Any

import pytest
from openapi_spec_validator import validate

from modelpool_api.app import create_app
from modelpool_api.context import open_context
from modelpool_api.settings import Settings

METHODS = ("get", "post", "delete", "head", "put")


@pytest.fixture
def document() -> dict[str, Any]:
    return create_app(open_context(Settings())).openapi()


def operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{method} {path}", operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    ]


def test_the_document_is_valid(document: dict[str, Any]) -> None:
    validate(document)


def test_every_route_has_a_summary_a_description_and_a_tag(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        assert operation["summary"], name
        assert operation["description"], name
        assert operation["tags"], name


def test_every_error_is_described_as_a_problem(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        for status, answer in operation["responses"].items():
            if status[0] in "45" and "/readyz" not in name:
                assert answer["content"]["application/problem+json"]["schema"]["$ref"].endswith("/Problem"), name
    assert "Problem" in document["components"]["schemas"]


def test_what_may_be_wrong_with_any_head_or_body_is_described(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        assert "431" in operation["responses"], name
        reads = "requestBody" in operation
        assert {status for status in ("408", "413") if status in operation["responses"]} == (
            {"408", "413"} if reads else set()
        ), name


def test_operation_ids_are_unique(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for _, operation in operations(document)]
    assert len(ids) == len(set(ids))


def test_requests_have_examples(document: dict[str, Any]) -> None:
    body = document["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]
    assert set(body) == {"application/json", "multipart/form-data"}
    assert len(body["application/json"]["examples"]) >= 3
