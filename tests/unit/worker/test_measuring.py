from __future__ import annotations

import pytest

from modelpool_worker.measuring import Running


def test_nothing_measured_is_nothing_said() -> None:
    assert Running().stat() is None
    assert Running().mean is None


def test_mean_and_deviation() -> None:
    running = Running()
    for value in (1.0, 3.0):
        running.add(value)
    stat = running.stat()
    assert stat is not None
    assert (stat.mean, stat.deviation, stat.count) == (2.0, 1.0, 2)


def test_old_values_are_forgotten_but_counted() -> None:
    running = Running(latest=2)
    for value in (100.0, 1.0, 1.0):
        running.add(value)
    stat = running.stat()
    assert stat is not None
    assert stat.mean == pytest.approx(1.0)
    assert stat.count == 3
