"""Secrets: the newest signs, all are accepted, names last a day."""

from __future__ import annotations

import base64
import hmac

import pytest

from modelpool.errors import InvalidInput
from modelpool_api.identity.ring import DayKey, SecretRing

OLD, NEW = "old-secret-of-some-length", "new-secret-of-some-length"


def test_what_an_older_secret_signed_is_accepted_until_it_leaves_the_ring() -> None:
    signature = SecretRing.parse(OLD).sign("visitor", "text")
    assert SecretRing.parse(f"{NEW}, {OLD}").verify("visitor", "text", signature)
    assert not SecretRing.parse(NEW).verify("visitor", "text", signature)
    assert SecretRing.parse(NEW).verify("visitor", "text", SecretRing.parse(f"{NEW},{OLD}").sign("visitor", "text"))


@pytest.mark.parametrize(
    ("purpose", "text", "end"), [("other", "text", ""), ("visitor", "text2", ""), ("visitor", "text", "x")]
)
def test_a_signature_is_for_one_text_and_one_purpose(purpose: str, text: str, end: str) -> None:
    ring = SecretRing.parse(NEW)
    assert not ring.verify(purpose, text, ring.sign("visitor", "text") + end)
    assert not ring.verify("visitor", "text", "é")


@pytest.mark.parametrize("length", [1, 32, 64, 65, 200])
def test_a_name_is_an_hmac_under_the_days_key(length: int) -> None:
    key = bytes(range(length))
    expected = base64.urlsafe_b64encode(hmac.digest(key, b"one\ntwo", "sha256")[:20]).decode().rstrip("=")
    assert DayKey(7, key).name("one", "two") == expected


def test_a_days_names_are_the_same_for_all_who_share_the_days_secret() -> None:
    before, after = SecretRing.parse(OLD), SecretRing.parse(f"{NEW} {OLD}")
    mark = before.ids()[0]
    assert before.day_key(7, mark).name("a", "b") == after.day_key(7, mark).name("a", "b")
    assert before.day_key(7, mark).name("a") != before.day_key(8, mark).name("a")
    assert after.day_key(7, after.ids()[0]).name("a") != before.day_key(7, mark).name("a")


def test_a_day_that_was_begun_with_a_secret_unknown_here_uses_our_newest() -> None:
    ring = SecretRing.parse(NEW)
    assert ring.day_key(7, "unknown").name("a") == ring.day_key(7, ring.ids()[0]).name("a")


def test_a_lasting_name_is_one_under_each_secret_the_newest_first() -> None:
    before, after = SecretRing.parse(OLD), SecretRing.parse(f"{NEW} {OLD}")
    (name,) = before.names("person", "a", "b")
    assert after.names("person", "a", "b")[1] == name
    assert (
        len({*after.names("person", "a", "b"), *after.names("other", "a", "b"), *after.names("person", "ab", "")}) == 6
    )


def test_names_and_ids_give_nothing_away() -> None:
    ring = SecretRing.parse(NEW)
    assert "anna" not in "".join(ring.names("person", "https://id.example", "anna"))
    name = ring.day_key(7, ring.ids()[0]).name("network", "203.0.113.9")
    assert "203" not in name
    assert NEW not in "".join(ring.ids())


@pytest.mark.parametrize("text", ["", " , ", "short", f"{NEW},short"])
def test_a_secret_too_short_to_be_one_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="at least 16"):
        SecretRing.parse(text)
