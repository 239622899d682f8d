"""The forecast's formulas, against values worked out by hand and the laws they must obey."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelpool_operator.planner.forecast import (
    blended_rate,
    chance_of_demand,
    forecast_error,
    mean_rate,
    pessimistic,
    recent_rate,
)
from modelpool_operator.planner.scores import exposure, swap_gain

RATES = st.floats(0, 100)


def test_one_minute_of_sixty_jobs_counts_for_its_share_of_the_window() -> None:
    assert recent_rate([60], window_seconds=3600) == pytest.approx(1 - math.exp(-60 / 1800))
    assert recent_rate([60, 0], window_seconds=3600) == pytest.approx((1 - math.exp(-1 / 30)) * math.exp(-1 / 30))
    assert recent_rate([], window_seconds=3600) == 0


@given(st.integers(0, 1000), st.integers(60, 86_400))
def test_steady_traffic_is_forecast_as_what_it_is(per_minute: int, window: int) -> None:
    minutes = [per_minute] * (window // 60 * 10 + 100)
    assert recent_rate(minutes, window) == pytest.approx(per_minute / 60, rel=0.01)
    assert mean_rate(minutes) == pytest.approx(per_minute / 60)


@given(st.floats(0.1, 1000), st.floats(0.1, 1000))
def test_an_exact_forecast_has_no_error_and_any_other_has_one(jobs: float, expected: float) -> None:
    assert forecast_error(jobs, jobs) == pytest.approx(0, abs=1e-9)
    assert forecast_error(jobs, expected) >= -1e-9
    assert forecast_error(2 * jobs, jobs) == pytest.approx(jobs * (2 * math.log(2) - 1))


def test_a_forecast_of_nothing_errs_by_what_came() -> None:
    assert forecast_error(0, 0) == pytest.approx(0.01)
    assert forecast_error(0, 3) == pytest.approx(3)
    assert forecast_error(3, 0) == pytest.approx(3 * math.log(300) - 2.99)


def test_the_mean_of_nothing_is_nothing() -> None:
    assert mean_rate([]) == 0


def test_the_recent_rate_weighs_three_times_the_long_one() -> None:
    assert blended_rate(4.0, 0.0) == pytest.approx(3.0)
    assert blended_rate(2.0, 2.0) == pytest.approx(2.0)


def test_the_chance_of_demand_is_that_of_a_negative_binomial() -> None:
    assert chance_of_demand(0, 300) == 0
    assert chance_of_demand(0.01, 300) == pytest.approx(1 - (1 + 3 / 0.6) ** -0.6)


@given(RATES, st.floats(1, 1000))
def test_bursty_traffic_is_less_likely_to_come_than_poisson_and_the_chance_is_a_probability(
    rate: float, horizon: float
) -> None:
    chance = chance_of_demand(rate, horizon)
    assert 0 <= chance <= 1 - math.exp(-rate * horizon) + 1e-9


@given(RATES, RATES, st.floats(0.1, 60), st.floats(1, 1000))
def test_more_demand_is_never_less_exposure(rate: float, more: float, load: float, horizon: float) -> None:
    assert exposure(rate, load, horizon) <= exposure(rate + more, load, horizon) + 1e-9


def test_a_swap_costs_its_load_and_drain_as_far_as_the_pool_is_busy() -> None:
    assert swap_gain(10, 4, utilisation=0.5, load=6, drain=2) == 2
    assert swap_gain(10, 4, utilisation=0.0, load=6, drain=2) == 6


def test_loads_are_expected_to_take_three_deviations_more_than_their_mean() -> None:
    assert pessimistic(2.0, 0.5) == 3.5
