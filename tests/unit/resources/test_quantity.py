"""Quantities are read exactly as Kubernetes reads them."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelpool.resources.quantity import format_bytes, parse_bytes, parse_quantity


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", Decimal(0)),
        ("24Gi", Decimal(24 * 2**30)),
        ("13.5Gi", Decimal(27 * 2**29)),
        ("512M", Decimal(512_000_000)),
        ("250m", Decimal("0.25")),
        ("1.5", Decimal("1.5")),
    ],
)
def test_units_have_their_kubernetes_meaning(text: str, value: Decimal) -> None:
    assert parse_quantity(text) == value


@pytest.mark.parametrize("text", ["", "Gi", "-1Gi", "1 Gi", "1GiB", "1e3", "nan", "24gi", "1.Gi"])
def test_what_kubernetes_would_not_read_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="such as 24Gi"):
        parse_quantity(text)


def test_bytes_are_rounded_up_so_that_a_budget_is_never_understated() -> None:
    assert parse_bytes("1m") == 1
    assert parse_bytes("1.5") == 2


@pytest.mark.parametrize(("count", "text"), [(0, "0"), (1023, "1023"), (13_958_643_712, "13Gi"), (1536, "1.5Ki")])
def test_bytes_are_shown_short(count: int, text: str) -> None:
    assert format_bytes(count) == text


@given(st.integers(min_value=0, max_value=2**52))
def test_what_is_shown_reads_back_within_a_twentieth_of_a_unit(count: int) -> None:
    assert abs(parse_bytes(format_bytes(count)) - count) <= max(1, count * 0.06)
