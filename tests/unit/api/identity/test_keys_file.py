"""API keys from a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelpool.errors import InvalidInput
from modelpool.jobs import Lane
from modelpool_api.identity.keys_file import ApiKey, FileKeys, read_api_keys, require_plans

KEYS = (
    ApiKey(name="studio", key="a-paid-key-of-some-length", lane=Lane.PAID),
    ApiKey(name="friend", key="an-account-key-of-some-length", lane=Lane.ACCOUNT),
)


def test_a_key_finds_its_entry_and_nothing_near_it_does() -> None:
    known = FileKeys(KEYS)
    assert [known.find(entry.key) for entry in KEYS] == list(KEYS)
    assert known.find(KEYS[0].key[:-1]) is None
    assert known.find("") is None


def test_a_key_is_not_shown_by_accident() -> None:
    assert KEYS[0].key not in repr(KEYS[0])


def test_keys_are_read_from_yaml(tmp_path: Path) -> None:
    path = tmp_path / "keys.yaml"
    path.write_text(
        "keys:\n- {name: studio, key: 0123456789abcdef}\n- {name: b, key: 0123456789abcdeg, lane: account}\n"
    )
    found = [(key.name, key.lane, key.plan_name) for key in read_api_keys(path)]
    assert found == [("studio", Lane.PAID, "paid"), ("b", Lane.ACCOUNT, "account")]
    path.write_text("")
    assert read_api_keys(path) == ()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("keys: [", "is no YAML"),
        ("keys: [{name: a, key: short}]", "keys.0.key"),
        ("keys: [{name: a, key: 0123456789abcdef, lane: vip}]", "keys.0.lane"),
        ("tokens: []", "tokens"),
        ("keys: [{name: a, key: 0123456789abcdef}, {name: a, key: 0123456789abcdeg}]", "names a key twice"),
    ],
)
def test_a_keys_file_that_cannot_work_is_refused_without_its_keys(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "keys.yaml"
    path.write_text(text)
    with pytest.raises(InvalidInput) as refusal:
        read_api_keys(path)
    assert says in refusal.value.message
    assert "0123456789" not in refusal.value.message


def test_a_missing_keys_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_api_keys(tmp_path / "absent.yaml")


def test_a_plan_that_does_not_exist_is_said_with_the_keys_name() -> None:
    require_plans(KEYS, {"paid", "account"})
    with pytest.raises(InvalidInput, match="'friend' has the plan 'account'"):
        require_plans(KEYS, {"paid"})
