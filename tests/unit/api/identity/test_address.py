"""Addresses, through proxies and in all their clothes."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelpool_api.identity.address import Origin, client_address, origin_of, parse_address

PROXIES = [ipaddress.ip_network(text) for text in ("10.0.0.0/8", "2001:db8:f::/48")]


@pytest.mark.parametrize(
    ("written", "origin"),
    [
        ("203.0.113.9", Origin("203.0.113.9")),
        ("203.0.113.9:4711", Origin("203.0.113.9")),
        ("::ffff:203.0.113.9", Origin("203.0.113.9")),
        ("::FFFF:cb00:7109", Origin("203.0.113.9")),
        ("[2001:db8:1:2:3:4:5:6]:443", Origin("2001:db8:1:2::/64", "2001:db8:1::/48")),
        ("2001:db8:1:2::", Origin("2001:db8:1:2::/64", "2001:db8:1::/48")),
        ("fe80::1%eth0", Origin("fe80::/64", "fe80::/48")),
        ("unix", Origin("local")),
        ("", Origin("local")),
        ("1.2.3.4.5", Origin("local")),
    ],
)
def test_a_household_is_one_prefix_however_its_address_is_written(written: str, origin: Origin) -> None:
    assert origin_of(parse_address(written)) == origin


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.9", ["1.1.1.1"], "203.0.113.9"),  # nobody we know passed it on
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["1.1.1.1, 203.0.113.9"], "203.0.113.9"),  # what the client wrote stands to the left
        ("10.0.0.1", ["1.1.1.1", "203.0.113.9, 10.2.3.4"], "203.0.113.9"),  # two proxies, two headers
        ("10.0.0.1", ["10.9.9.9, 10.2.3.4"], "10.9.9.9"),  # all are ours: the first of them asks
        ("10.0.0.1", ["1.1.1.1, nonsense"], "10.0.0.1"),
        ("10.0.0.1", ["1.1.1.1, nonsense, 10.2.3.4"], "10.2.3.4"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("::ffff:10.0.0.1", ["::ffff:203.0.113.9"], "203.0.113.9"),
        ("2001:db8:f::1", ['"[2001:db8:1::5]:80"'], "2001:db8:1::5"),
    ],
)
def test_forwarded_addresses_count_from_the_right_as_far_as_proxies_are_ours(
    peer: str, forwarded: list[str], client: str
) -> None:
    assert client_address(peer, forwarded, PROXIES) == parse_address(client)


@given(st.lists(st.text(max_size=20), max_size=4), st.ip_addresses())
def test_whatever_a_client_writes_its_own_address_is_what_counts(
    written: list[str], real: ipaddress.IPv4Address
) -> None:
    text = str(real)
    expected = parse_address(text)
    if expected is None or any(expected.version == n.version and expected in n for n in PROXIES):
        return
    assert client_address("10.0.0.1", [*written, text], PROXIES) == expected


@given(st.text(max_size=60))
def test_nothing_that_is_written_makes_it_fail(text: str) -> None:
    parse_address(text)
    client_address("10.0.0.1", [text], PROXIES)
