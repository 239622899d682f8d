"""What may open the admin API."""

from __future__ import annotations

import pytest

from modelpool.errors import InvalidInput
from modelpool_api.admin_token import checked_admin_token

GOOD = "0123456789abcdef01234567"


@pytest.mark.parametrize("text", [GOOD, f"{GOOD}\n", f"  {GOOD}\t", f"{GOOD}+/=_-~"])
def test_a_good_one_is_taken_without_what_is_around_it(text: str) -> None:
    assert checked_admin_token(text) == text.strip()


@pytest.mark.parametrize("text", ["", " ", "\n"])
def test_none_is_none(text: str) -> None:
    assert checked_admin_token(text) == ""


@pytest.mark.parametrize(
    "text", ["hunter2", GOOD[:-1], "a" * 64, "abcdefg" * 9, f"{GOOD} {GOOD}", GOOD + "é", GOOD + "\x7f"]
)
def test_one_that_can_be_guessed_or_not_be_sent_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(InvalidInput, match="at least 24 characters") as refusal:
        checked_admin_token(text)
    assert refusal.value.param == "adminToken"
    assert text not in refusal.value.message
