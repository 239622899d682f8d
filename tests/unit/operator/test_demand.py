"""Rates from the queue's counters."""

import pytest

from modelpool_operator.demand.counters import CounterDemand
from modelpool_operator.planner.forecast import recent_rate

NOW = 10_000_030
MINUTE = 60_000


class Counters:
    """The part of a queue that counts."""

    def __init__(self, day: dict[str, list[int]]) -> None:
        self.day = day
        self.reads: list[int] = []

    async def demand(self, minutes: int) -> dict[str, list[int]]:
        self.reads.append(minutes)
        return {model: counts[-minutes:] for model, counts in self.day.items() if any(counts[-minutes:])}


async def test_recent_rates_follow_the_window_and_long_ones_the_day() -> None:
    busy_then_quiet = [0] * 1000 + [6] * 380 + [0] * 60
    queue = Counters({"a": busy_then_quiet, "b": [0] * 1439 + [60]})
    demand = await CounterDemand(queue).read(NOW, 3600)  # type: ignore[arg-type]  # the part of a queue that counts
    assert demand.recent == {"b": pytest.approx(recent_rate([0] * 59 + [60], 3600))}
    assert demand.long_term["a"] == pytest.approx(6 * 380 / 440 / 60)
    assert demand.long_term["b"] == pytest.approx(1.0)
    assert demand.last_jobs == {"b": 60}
    current = NOW - NOW % MINUTE
    assert demand.asked_at == {"a": current - 60 * MINUTE, "b": current}


async def test_the_day_is_read_every_ten_minutes_only() -> None:
    queue = Counters({})
    source = CounterDemand(queue)  # type: ignore[arg-type]  # the part of a queue that counts
    for minute in range(0, 21, 5):
        await source.read(NOW + minute * MINUTE, 1800)
    assert queue.reads == [1440, 30, 30, 1440, 30, 30, 1440, 30]


async def test_the_last_minutes_are_counted_whatever_the_window() -> None:
    queue = Counters({"a": [0] * 1430 + [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]})
    demand = await CounterDemand(queue).read(NOW, 120)  # type: ignore[arg-type]  # the part of a queue that counts
    assert demand.last_jobs == {"a": 6 + 7 + 8 + 9 + 10}
    assert demand.recent == {"a": pytest.approx(recent_rate([9, 10], 120))}
