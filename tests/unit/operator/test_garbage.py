"""What stays is left out of the search for garbage, but not for ever."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from modelpool_operator.garbage import LongLived


class Cycle:
    """Garbage that only a search finds, once nobody else refers to it."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def nothing_is_left_out_in_the_end() -> Iterator[None]:
    yield
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
