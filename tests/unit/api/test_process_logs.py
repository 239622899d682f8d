"""Lines about requests: without addresses, ids, names and whatever else somebody writes into a path."""

from __future__ import annotations

import logging

import pytest

from modelpool_api.process_logs import RequestLines, shown_path, uvicorn_level


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/", "/"),
        ("/v1/jobs", "/v1/jobs"),
        ("/v1/jobs/abcd-secret?wait=30", "/v1/jobs/…"),
        ("/v1/jobs/abcd-secret/events", "/v1/jobs/…/events"),
        ("/v1/results/secret.png?download=true", "/v1/results/…"),
        ("/v1/admin/keys", "/v1/admin/keys"),
        ("/v1/admin/keys/5f1e0c9a7be2/rotate", "/v1/admin/keys/…/rotate"),
        ("/v1/models/studio/shapes", "/v1/models/…"),
        ("/v1/accounts", "/v1/accounts"),
        ("/metrics", "/metrics"),
        ("/docs/assets/swagger-ui.css", "/docs/assets/swagger-ui.css"),
        ("/a prompt that somebody typed into the address", "…"),
        ("/v1/Jobs/abcd-secret", "…"),
        ("//v1/jobs/abcd-secret", "…"),
        ("/v1/jobs/abcd/secret", "/v1/jobs/…/secret"),
    ],
)
def test_what_is_shown_of_a_path(path: str, shown: str) -> None:
    assert shown_path(path) == shown
    assert shown_path(f"/pool{path}", "/pool") == shown


def record(message: str, *arguments: object) -> logging.LogRecord:
    return logging.LogRecord("uvicorn.access", logging.INFO, "", 0, message, arguments, None)


def test_a_line_about_a_request_loses_its_address_and_id() -> None:
    line = record('%s - "%s %s HTTP/%s" %d', "203.0.113.9:4711", "GET", "/v1/jobs/abcd-secret?wait=1", "1.1", 200)
    assert RequestLines(access=True).filter(line)
    assert line.getMessage() == '- - "GET /v1/jobs/… HTTP/1.1" 200'
    socket = record('%s - "WebSocket %s" [accepted]', "203.0.113.9:4711", "/v1/jobs/abcd-secret/ws")
    assert RequestLines(access=True).filter(socket)
    assert socket.getMessage() == '- - "WebSocket /v1/jobs/…/ws" [accepted]'


def test_without_an_access_log_there_is_none_and_other_lines_stay() -> None:
    lines = RequestLines(access=False)
    assert not lines.filter(record('%s - "WebSocket %s" [accepted]', "203.0.113.9:4711", "/v1/jobs/abcd/ws"))
    started = record("Uvicorn running on %s", "http://127.0.0.1:8080")
    assert lines.filter(started)
    assert started.getMessage() == "Uvicorn running on http://127.0.0.1:8080"


def test_uvicorn_never_writes_headers_down() -> None:
    assert [uvicorn_level(level) for level in ("debug", "DEBUG", "info", "error")] == ["info", "info", "info", "error"]
