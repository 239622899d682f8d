from __future__ import annotations

from decimal import Decimal

import pytest

from modelpool.documents import Spent
from modelpool.resources.status import CostStatus
from modelpool_operator.cost import cost_of

QUARTER = Decimal("0.25")


def test_idle_slots_are_paid_for_as_well() -> None:
    busy, idle = Spent(generate=1800, idle=1800, generations=100), Spent(idle=3600)
    # Two GPU hours at a quarter, for a hundred pictures.
    assert cost_of([busy, idle], QUARTER) == CostStatus(per_generation_usd="0.005", useful_share=0.25)


def test_loads_and_failures_cost_and_are_not_useful() -> None:
    spent = Spent(generate=900, load=900, failed=1800, generations=1)
    assert cost_of([spent], QUARTER) == CostStatus(per_generation_usd="0.25", useful_share=0.25)


@pytest.mark.parametrize("spent", [[], [Spent()], [Spent(idle=3600)]])
def test_where_nothing_was_made_nothing_has_a_price(spent: list[Spent]) -> None:
    assert cost_of(spent, QUARTER) is None


def test_small_prices_are_written_out() -> None:
    spent = Spent(generate=36, generations=10_000)
    found = cost_of([spent], QUARTER)
    assert found is not None
    assert found.per_generation_usd == "0.00000025"
