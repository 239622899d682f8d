"""Whose part of what all share a request takes."""

from __future__ import annotations

import pytest

from modelpool.jobs import Lane
from modelpool_api.identity.address import Origin
from modelpool_api.identity.signals import Signals
from modelpool_api.identity.subject import Subject

HOME = Signals(Origin("203.0.113.9"))
HOME6 = Signals(Origin("2001:db8:1:2::/64", "2001:db8:1::/48"))


@pytest.mark.parametrize(
    ("subject", "party"),
    [
        (Subject("visitor:x", Lane.ANONYMOUS, signals=HOME), "203.0.113.9"),
        (Subject("account:x", Lane.ACCOUNT, signals=HOME), "203.0.113.9"),
        (Subject("visitor:x", Lane.ANONYMOUS, signals=HOME6), "2001:db8:1::/48"),
        (Subject("key:studio", Lane.PAID, signals=HOME), "key:studio"),
        (Subject("account:x", Lane.ACCOUNT), "account:x"),
    ],
)
def test_a_network_is_one_and_so_is_who_pays(subject: Subject, party: str) -> None:
    assert subject.party == party
