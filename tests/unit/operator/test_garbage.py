"""What stays is left out of the search for garbage, but not for ever."""

import asyncio
import gc
import weakref
from collections.abc import Iterator
from contextlib import suppress

import pytest

from modelpool_operator.garbage import RARELY, LongLived, keep_searches_short
from support import wait_until


class Cycle:
    """Garbage that only a search finds, once nobody else refers to it."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()


def test_what_is_there_is_left_out_of_further_searches() -> None:
    long_lived, kept = LongLived(), Cycle()
    long_lived.settle()
    assert kept not in gc.get_objects()
    assert gc.get_freeze_count()


def test_what_came_and_went_since_is_found_each_time() -> None:
    long_lived = LongLived()
    long_lived.settle()
    gone = weakref.ref(Cycle())
    long_lived.settle()
    assert gone() is None


def test_what_was_left_out_and_went_later_is_found_at_every_so_many_th_time() -> None:
    long_lived, kept = LongLived(until_all=3), Cycle()
    gone = weakref.ref(kept)
    long_lived.settle()
    del kept
    long_lived.settle()
    assert gone() is not None
    long_lived.settle()
    assert gone() is None


async def test_while_it_runs_python_does_not_look_through_everything_by_itself() -> None:
    kept = Cycle()
    task = asyncio.create_task(keep_searches_short())
    await wait_until(gc.get_freeze_count)
    assert kept not in gc.get_objects()
    assert gc.get_threshold()[2] == RARELY
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
