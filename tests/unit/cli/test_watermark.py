from __future__ import annotations

import threading
from collections.abc import Iterator

from modelpool_cli.demo.watermark import Watermark
from support import block_until


def test_a_peak_between_start_and_end_is_what_counts() -> None:
    readings: Iterator[int] = iter([3, 9, 4])
    last = threading.Event()

    def read() -> int:
        found = next(readings, None)
        if found is None:
            last.set()
        return found or 1

    with Watermark(read, seconds=0) as memory:
        block_until(last.is_set)
    assert memory.highest == 9


def test_what_is_there_at_the_end_counts_however_seldom_it_is_read() -> None:
    now, first = [5], threading.Event()

    def read() -> int:
        first.set()
        return now[0]

    with Watermark(read, seconds=3600) as memory:
        block_until(first.is_set)
        now[0] = 7
    assert memory.highest == 7
