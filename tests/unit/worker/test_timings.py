from __future__ import annotations

import pytest

from modelpool_worker.timings import Timings


def test_timings_are_read_from_one_line() -> None:
    assert Timings.parse("load=0.5,step_each=0.01") == Timings(load=0.5, step_each=0.01)


def test_nothing_said_takes_no_time() -> None:
    assert Timings.parse("") == Timings()


@pytest.mark.parametrize("text", ["loads=1", "load=soon", "fail_loads=x"])
def test_a_mistake_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"known are|could not convert"):
        Timings.parse(text)


def test_a_step_costs_what_the_batch_costs() -> None:
    timings = Timings(step=0.1, step_fixed=0.05, step_each=0.05)
    assert [timings.step_seconds(size) for size in (1, 3)] == pytest.approx([0.1, 0.2])
