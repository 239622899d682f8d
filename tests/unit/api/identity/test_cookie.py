"""The visitor's cookie: signed, dated, renewed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelpool_api.identity.cookie import is_due, make_cookie, read_cookie, set_cookie
from modelpool_api.identity.ring import SecretRing
from modelpool_api.policy import Cookie

OLD, NEW = "old-secret-of-some-length", "new-secret-of-some-length"
RING = SecretRing.parse(NEW)
RULES = Cookie(life_days=10, renew_hours=24)
VISITOR = "AAAAAAAAAAAAAAAAAAAAAA"
NOW = 1_800_000_000
DAY = 86_400


def test_a_visitor_is_known_again_until_the_cookies_life_is_over() -> None:
    value = make_cookie(VISITOR, NOW, RING)
    for later in (0, DAY, 10 * DAY):
        found = read_cookie(value, NOW + later, RING, RULES)
        assert found is not None
        assert found.id == VISITOR
    assert read_cookie(value, NOW + 10 * DAY + 1, RING, RULES) is None


def test_a_replica_whose_clock_is_behind_accepts_it_too_but_not_one_of_next_week() -> None:
    assert read_cookie(make_cookie(VISITOR, NOW + 3600, RING), NOW, RING, RULES) is not None
    assert read_cookie(make_cookie(VISITOR, NOW + 7 * DAY, RING), NOW, RING, RULES) is None


@given(st.integers(0, 76), st.characters(codec="ascii"))
def test_a_cookie_with_another_character_is_no_cookie(place: int, character: str) -> None:
    value = make_cookie(VISITOR, NOW, RING)
    forged = value[:place] + character + value[place + 1 :]
    assert (read_cookie(forged, NOW, RING, RULES) is None) == (forged != value)


@pytest.mark.parametrize("value", [None, "", "1.2.3", "1." + "x" * 500])
def test_nonsense_is_no_cookie(value: str | None) -> None:
    assert read_cookie(value, NOW, RING, RULES) is None


def test_it_is_renewed_with_the_newest_secret_and_when_it_is_a_day_old() -> None:
    rotated = SecretRing.parse(f"{NEW},{OLD}")
    by_old = read_cookie(make_cookie(VISITOR, NOW, SecretRing.parse(OLD)), NOW, rotated, RULES)
    by_new = read_cookie(make_cookie(VISITOR, NOW, rotated), NOW, rotated, RULES)
    assert by_old is not None
    assert by_new is not None
    assert by_old.id == by_new.id
    assert is_due(by_old, NOW, RULES)
    assert not is_due(by_new, NOW + DAY - 1, RULES)
    assert is_due(by_new, NOW + DAY, RULES)


def test_scripts_cannot_read_it_and_it_stays_on_https_where_there_is_https() -> None:
    header = set_cookie("v", RULES, path="/pool", https=True)
    assert header == "modelpool_visitor=v; Max-Age=864000; Path=/pool; HttpOnly; SameSite=Lax; Secure"
    assert "Secure" not in set_cookie("v", RULES, path="", https=False)
    assert "Secure" in set_cookie("v", Cookie(secure=True), path="", https=False)
