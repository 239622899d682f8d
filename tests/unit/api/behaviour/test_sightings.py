"""What the rules look at: names of the day, written as lines and read back."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelpool_api.behaviour.sightings import BrokenLine, Sighting, read_lines, sighting_of, to_line
from modelpool_api.identity.address import origin_of, parse_address
from modelpool_api.identity.cookie import Visitor
from modelpool_api.identity.ring import DayKey
from modelpool_api.identity.signals import Signals

TODAY = DayKey(20_000, b"the key of the day")
FINGERPRINT = "a-fingerprint-of-somebody"
SUBJECT = TODAY.name("device", FINGERPRINT, "203.0.113.9")
COOKIE = Visitor("A" * 22, 1_700_000_000, by_newest=True)
names = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=27)
sightings = st.builds(
    Sighting,
    at=st.integers(0, 2**43),
    who=names,
    words=names,
    network=names,
    device=st.none() | names,
    fingerprint=st.none() | names,
    visitor=st.none() | names,
)


def signals(*, cookie: bool = True, fingerprint: bool = True) -> Signals:
    origin = origin_of(parse_address("203.0.113.9"))
    return Signals(origin, COOKIE if cookie else None, FINGERPRINT if fingerprint else None)


def test_nothing_in_it_identifies_anybody() -> None:
    line = to_line(sighting_of(TODAY, 5, SUBJECT, signals(), "the words", "job-1"))
    for secret in ("203.0.113", FINGERPRINT, COOKIE.id, "the words", "job-1"):
        assert secret not in line


def test_tomorrow_everybody_has_other_names() -> None:
    today = sighting_of(TODAY, 5, SUBJECT, signals(), "words", "job-1")
    tomorrow = sighting_of(DayKey(20_001, b"another key"), 5, "tomorrow-s-name", signals(), "words", "job-1")
    for name in ("who", "words", "network", "device", "fingerprint", "visitor"):
        assert getattr(today, name) != getattr(tomorrow, name)


def test_without_a_fingerprint_there_is_no_device_and_without_a_cookie_each_request_is_a_visitor() -> None:
    bare = sighting_of(TODAY, 5, "s", signals(fingerprint=False), "w", "job-1")
    assert (bare.device, bare.fingerprint, bare.visitor) == (None, None, None)
    first, second = (sighting_of(TODAY, 5, "s", signals(cookie=False), "w", job) for job in ("job-1", "job-2"))
    assert first.device == second.device
    assert first.visitor != second.visitor


@given(st.lists(sightings, max_size=5))
def test_what_is_written_is_read_back(seen: list[Sighting]) -> None:
    assert list(read_lines([to_line(one) + "\n" for one in seen] + ["\n"])) == seen


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"v": 2}, "version 2"),
        ({"at": None}, "'at'"),
        ({"at": True}, "'at'"),
        ({"at": 10**15}, "'at'"),
        ({"at": 10**20}, "'at'"),
        ({"who": ""}, "'who'"),
        ({"words": 7}, "'words'"),
        ({"network": None}, "'network'"),
        ({"visitor": "x" * 65}, "'visitor'"),
    ],
)
def test_a_broken_line_says_which_it_is_and_what_is_wrong(change: dict[str, object], says: str) -> None:
    good = to_line(Sighting(5, "a", "b", "c"))
    broken = json.dumps(json.loads(good) | change)
    first, second, third = read_lines([good, broken, good])
    assert isinstance(first, Sighting)
    assert isinstance(third, Sighting)
    assert isinstance(second, BrokenLine)
    assert second.number == 2
    assert second.message.startswith("line 2")
    assert says in second.message


@pytest.mark.parametrize(
    "line", ["{", "[]", "null", "12", '{"v":1,"at":5,"who":"a', "GET / 200", "\x00", "[" * 200_000]
)
def test_what_is_no_line_of_ours_at_all_is_broken_too(line: str) -> None:
    (found,) = read_lines([line])
    assert isinstance(found, BrokenLine)


@given(st.text(max_size=80))
def test_no_text_makes_reading_fail(text: str) -> None:
    for found in read_lines(text.splitlines()):
        assert isinstance(found, BrokenLine | Sighting)
