"""A request's headers by name."""

from __future__ import annotations

from starlette.requests import HTTPConnection

from modelpool_api.header_values import header_values


def test_of_a_header_that_comes_twice_the_first_counts() -> None:
    sent = [(b"prefer", b"wait=1"), (b"accept", b"*/*"), (b"prefer", b"wait=2")]
    assert header_values(HTTPConnection({"type": "http", "headers": sent})) == {"prefer": "wait=1", "accept": "*/*"}


def test_any_byte_may_be_in_a_value() -> None:
    sent = [(b"x-odd", bytes(range(128, 256)))]
    assert len(header_values(HTTPConnection({"type": "http", "headers": sent}))["x-odd"]) == 128
