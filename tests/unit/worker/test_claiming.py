from __future__ import annotations

import pytest

from modelpool_worker.claiming import AHEAD_SECONDS, near_end


@pytest.mark.parametrize(
    ("step", "steps", "elapsed", "expected"),
    [
        (0, 10, 0.0, False),
        (1, 10, 1.0, False),
        (9, 10, 9.0, False),
        (9, 10, 0.9, True),
        (10, 10, 10.0, True),
        (1, 1, 5.0, True),
    ],
)
def test_the_next_batch_is_claimed_shortly_before_this_one_ends(
    step: int, steps: int, elapsed: float, expected: bool
) -> None:
    assert near_end(step, steps, elapsed) is expected


def test_a_short_batch_is_near_its_end_from_its_first_step() -> None:
    assert near_end(1, 4, AHEAD_SECONDS / 4)
