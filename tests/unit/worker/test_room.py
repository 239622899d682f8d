from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from modelpool_worker.room import PROBE_AFTER, Room

CEILING = 16


def fill(room: Room, pixels: int, size: int) -> None:
    for _ in range(PROBE_AFTER):
        room.fitted(pixels, size, CEILING)


def test_nothing_is_known_at_first() -> None:
    assert Room().most(10) is None


def test_a_limit_holds_for_at_least_so_many_pixels() -> None:
    room = Room()
    room.ran_out(100, 8)
    assert [room.most(pixels) for pixels in (99, 100, 101)] == [None, 4, 4]
    room.ran_out(200, 4)
    assert [room.most(pixels) for pixels in (100, 199, 200)] == [4, 4, 2]


def test_a_limit_that_fewer_pixels_have_too_is_not_kept() -> None:
    room = Room()
    room.ran_out(200, 8)
    room.ran_out(100, 4)
    assert len(room) == 1
    assert room.most(200) == 2


def test_a_filled_limit_is_doubled_until_it_is_none() -> None:
    room = Room()
    room.ran_out(100, 8)
    fill(room, 100, 4)
    assert room.most(100) == 8
    fill(room, 100, 8)
    assert room.most(100) is None


def test_larger_jobs_that_fitted_show_that_smaller_ones_do() -> None:
    room = Room()
    room.ran_out(100, 4)
    fill(room, 200, 2)
    assert room.most(100) == 4


@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(1, 1000), st.integers(1, CEILING)),
        max_size=100,
    )
)
def test_limits_are_few_and_fall_with_pixels_whatever_happens(events: list[tuple[bool, int, int]]) -> None:
    room = Room()
    for ran_out, pixels, size in events:
        if ran_out:
            room.ran_out(pixels, size)
            assert (room.most(pixels) or CEILING) <= max(1, size // 2)
        else:
            fill(room, pixels, size)
        known = [room.most(pixels) or CEILING for pixels in range(0, 1001, 10)]
        assert known == sorted(known, reverse=True)
        assert len(room) <= CEILING // 2
