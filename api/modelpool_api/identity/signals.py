"""What a request says about who sends it, without credentials. Pure: the clock comes from outside."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from modelpool_api.identity.address import Origin, client_address, is_in, origin_of, parse_address
from modelpool_api.identity.cookie import Visitor, read_cookie
from modelpool_api.identity.ring import SecretRing
from modelpool_api.policy import Identity

FINGERPRINT_HEADER = "modelpool-fingerprint"
_FINGERPRINT = re.compile(r"[A-Za-z0-9_-]{16,128}")


@dataclass(frozen=True, slots=True)
class Signals:
    """The weak signals of one request. They stay in the process: what leaves it is derived with the day's key."""

    origin: Origin = field(repr=False)
    visitor: Visitor | None = field(default=None, repr=False)
    fingerprint: str | None = field(default=None, repr=False)
    https: bool = False

    @property
    def complete(self) -> bool:
        """Whether neither cookie nor fingerprint is missing."""
        return self.visitor is not None and self.fingerprint is not None


@dataclass(frozen=True, slots=True)
class Heard:
    """The parts of a request that signals are read from. Header names are in lower case."""

    peer: str
    scheme: str
    headers: Mapping[str, str]
    forwarded_for: Sequence[str]
    cookies: Mapping[str, str]


def read_signals(heard: Heard, now: int, ring: SecretRing, rules: Identity) -> Signals:
    """The signals; one that is forged or malformed is one that is missing. ``now`` in Unix seconds."""
    address = client_address(heard.peer, heard.forwarded_for, rules.trusted_proxies)
    peer = parse_address(heard.peer)
    proxied = peer is not None and is_in(peer, rules.trusted_proxies)
    scheme = heard.headers.get("x-forwarded-proto", heard.scheme) if proxied else heard.scheme
    offered = heard.headers.get(FINGERPRINT_HEADER, "")
    return Signals(
        origin=origin_of(address),
        visitor=read_cookie(heard.cookies.get(rules.cookie.name), now, ring, rules.cookie),
        fingerprint=offered if _FINGERPRINT.fullmatch(offered) else None,
        https=scheme in ("https", "wss"),
    )
