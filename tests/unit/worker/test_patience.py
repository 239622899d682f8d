from __future__ import annotations

import pytest

from modelpool.errors import QueueUnavailable, ResultNotFound
from modelpool_worker.patience import LONGEST_DELAY, delay_after, patiently
from support.worker import FakeClock


class Flaky:
    def __init__(self, failures: int) -> None:
        self.failures = failures

    async def __call__(self) -> str:
        if self.failures:
            self.failures -= 1
            raise QueueUnavailable("away")
        return "here"


async def test_it_waits_until_redis_is_back() -> None:
    clock = FakeClock()
    assert await patiently(Flaky(3), clock, give_up_after=60) == "here"
    assert clock.slept == pytest.approx([0.1, 0.2, 0.4])


async def test_it_gives_up_after_a_while() -> None:
    clock = FakeClock()
    with pytest.raises(QueueUnavailable):
        await patiently(Flaky(1000), clock, give_up_after=60)
    assert 60 <= clock.seconds <= 60 + LONGEST_DELAY


async def test_other_errors_are_not_waited_for() -> None:
    async def gone() -> None:
        raise ResultNotFound("gone")

    clock = FakeClock()
    with pytest.raises(ResultNotFound):
        await patiently(gone, clock, give_up_after=60)
    assert clock.slept == []


def test_delays_grow_to_a_ceiling() -> None:
    assert [delay_after(failures) for failures in (1, 2, 100)] == [0.1, 0.2, LONGEST_DELAY]
