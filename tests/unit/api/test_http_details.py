"""Ranges, ETags and preferences, as the RFCs have them."""

from __future__ import annotations

import pytest

from modelpool_api.byte_ranges import Unsatisfiable, matches, parse_range
from modelpool_api.preferences import preferred_wait


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("", None),
        ("bytes=0-0", (0, 0)),
        ("bytes=0-", (0, 99)),
        ("bytes=10-20", (10, 20)),
        ("bytes=90-1000", (90, 99)),
        ("bytes=-1", (99, 99)),
        ("bytes=-1000", (0, 99)),
        ("bytes=5-2", None),
        ("bytes=-", None),
        ("bytes=0-1,3-4", None),
        ("items=0-1", None),
        ("bytes=a-b", None),
        ("bytes=" + "9" * 40 + "-", None),
    ],
)
def test_one_range_is_understood_and_anything_else_means_the_whole(
    header: str | None, expected: tuple[int, int] | None
) -> None:
    assert parse_range(header, 100) == expected


@pytest.mark.parametrize(
    ("header", "size"), [("bytes=100-", 100), ("bytes=200-300", 100), ("bytes=-0", 100), ("bytes=0-", 0)]
)
def test_a_range_outside_is_unsatisfiable(header: str, size: int) -> None:
    with pytest.raises(Unsatisfiable):
        parse_range(header, size)


@pytest.mark.parametrize(
    ("header", "expected"),
    [(None, False), ('"a"', True), ('W/"a"', True), ('"b", "a"', True), ("*", True), ('"b"', False), ("a", False)],
)
def test_etags_are_compared_weakly(header: str | None, expected: bool) -> None:
    assert matches(header, '"a"') is expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("", None),
        ("respond-async", None),
        ("wait=5", 5),
        ("respond-async, wait=5", 5),
        ("wait=5, respond-async", 5),
        ('Wait = "7"', 7),
        ("handling=lenient; wait=3", 3),
        ("wait=999", 60),
        ("wait=0", 0),
        ("wait", None),
        ("wait=-1", None),
        ("wait=soon", None),
        ("await=5", None),
    ],
)
def test_the_preferred_wait_is_read_and_capped(header: str | None, expected: float | None) -> None:
    assert preferred_wait(header) == expected
