from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelpool_worker.residency.moves import Holding, Move, Place, Wanted, next_move

HOT, WARM, COLD = Place.HOT, Place.WARM, Place.COLD
NAMES = st.lists(st.sampled_from("abcdef"), unique=True, max_size=6)


def held(**places: Place) -> dict[str, Holding]:
    return {name: Holding(place, "1") for name, place in places.items()}


@pytest.mark.parametrize(
    ("holds", "hot", "warm", "expected"),
    [
        (held(), (), (), None),
        (held(a=HOT), ("a",), (), None),
        (held(), ("a", "b"), (), Move("a", COLD, HOT)),
        (held(), (), ("a",), Move("a", COLD, WARM)),
        (held(a=HOT), ("b",), (), Move("a", HOT, COLD)),
        (held(a=HOT), ("b",), ("a",), Move("a", HOT, WARM)),
        (held(a=WARM), ("b", "a"), (), Move("a", WARM, HOT)),
        (held(b=WARM), ("a",), ("b",), Move("a", COLD, HOT)),
        (held(a=HOT, b=HOT), ("c",), ("a",), Move("b", HOT, COLD)),
    ],
    ids=["nothing", "reached", "load", "load warm", "evict first", "cool first", "wake first", "hot first", "evict"],
)
def test_the_next_move(
    holds: dict[str, Holding], hot: tuple[str, ...], warm: tuple[str, ...], expected: Move | None
) -> None:
    assert next_move(holds, Wanted(hot, warm)) == expected


def test_a_new_revision_is_loaded_anew() -> None:
    wanted = Wanted(("a",), (), {"a": "2"})
    assert next_move(held(a=HOT), wanted) == Move("a", HOT, COLD)
    assert next_move({"a": Holding(HOT, "2")}, wanted) is None


def test_a_failed_load_does_not_hold_up_the_others() -> None:
    assert next_move(held(), Wanted(("a", "b")), {"a"}) == Move("b", COLD, HOT)
    assert next_move(held(b=HOT), Wanted(("a", "b")), {"a"}) is None


@given(start=st.dictionaries(st.sampled_from("abcdef"), st.sampled_from([HOT, WARM])), hot=NAMES, warm=NAMES)
def test_every_start_converges_and_nothing_is_loaded_before_all_room_is_made(
    start: dict[str, Place], hot: list[str], warm: list[str]
) -> None:
    warm = [name for name in warm if name not in hot]
    holds, moves = held(**start), []
    while (move := next_move(holds, Wanted(hot, warm))) is not None:
        moves.append(move)
        assert len(moves) <= 12
        if move.to is COLD:
            del holds[move.model]
        else:
            holds[move.model] = Holding(move.to, "1")
    assert {name for name, holding in holds.items() if holding.place is HOT} == set(hot)
    # A hot model that is to be warm is cooled; one that is warm stays so.
    assert {name for name, holding in holds.items() if holding.place is WARM} == set(warm)
    raising = [move.to is HOT or move.origin is COLD for move in moves]
    assert raising == sorted(raising)


def test_an_older_revision_stays_while_it_may() -> None:
    wanted = Wanted(("a",), (), {"a": "2"}, {"a": "1"})
    assert next_move(held(a=HOT), wanted) is None
    assert wanted.current("a", Holding(HOT, "1"))
    assert wanted.current("a", Holding(HOT, "2"))
    assert not wanted.current("a", Holding(HOT, "0"))
