"""Subjects from keys and addresses."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.requests import HTTPConnection

from modelpool.errors import InvalidInput, Unauthenticated
from modelpool.jobs import Lane
from modelpool_api.identity.static import ApiKey, StaticSubjectResolver, network_prefix, read_api_keys

KEYS = (
    ApiKey(name="studio", key="a-paid-key-of-some-length", lane=Lane.PAID),
    ApiKey(name="friend", key="an-account-key-of-some-length", lane=Lane.ACCOUNT),
)


def connection(address: str | None = "203.0.113.9", **headers: str) -> HTTPConnection:
    raw = [(name.lower().replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    client = (address, 1) if address is not None else None
    return HTTPConnection({"type": "http", "headers": raw, "client": client})


@pytest.mark.parametrize(("entry", "scheme"), [(KEYS[0], "Bearer"), (KEYS[1], "bearer"), (KEYS[1], "BEARER")])
async def test_a_key_brings_its_lane(entry: ApiKey, scheme: str) -> None:
    subject = await StaticSubjectResolver(KEYS).resolve(connection(authorization=f"{scheme} {entry.key}"))
    assert (subject.id, subject.lane) == (f"key:{entry.name}", entry.lane)


@pytest.mark.parametrize("header", ["Bearer nope", "Bearer", "Basic YTpi", "", "Bearer a-paid-key-of-some-lengt"])
async def test_credentials_of_nobody_are_refused_rather_than_ignored(header: str) -> None:
    with pytest.raises(Unauthenticated) as refusal:
        await StaticSubjectResolver(KEYS).resolve(connection(authorization=header))
    assert "nope" not in refusal.value.message


async def test_without_a_key_the_address_decides_and_is_not_shown() -> None:
    resolver = StaticSubjectResolver(KEYS, "secret")
    here, again, there = [
        await resolver.resolve(connection(address)) for address in ("203.0.113.9", "203.0.113.9", "203.0.113.10")
    ]
    assert here == again != there
    assert here.lane is Lane.ANONYMOUS
    assert "203" not in here.id
    assert (await StaticSubjectResolver(KEYS, "other").resolve(connection())).id != here.id
    assert (await resolver.resolve(connection(None))).lane is Lane.ANONYMOUS


async def test_a_forwarded_header_changes_nothing() -> None:
    resolver = StaticSubjectResolver()
    plain = await resolver.resolve(connection())
    assert await resolver.resolve(connection(x_forwarded_for="198.51.100.1", forwarded="for=1.2.3.4")) == plain


@pytest.mark.parametrize(
    ("address", "prefix"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unix", "unix"),
        ("", ""),
    ],
)
def test_a_household_is_one_prefix(address: str, prefix: str) -> None:
    assert network_prefix(address) == prefix


def test_keys_are_read_from_yaml(tmp_path: Path) -> None:
    path = tmp_path / "keys.yaml"
    path.write_text(
        "keys:\n- {name: studio, key: 0123456789abcdef}\n- {name: b, key: 0123456789abcdeg, lane: account}\n"
    )
    assert [(key.name, key.lane) for key in read_api_keys(path)] == [("studio", Lane.PAID), ("b", Lane.ACCOUNT)]
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


def test_a_key_is_not_shown_by_accident() -> None:
    assert KEYS[0].key not in repr(KEYS[0])
