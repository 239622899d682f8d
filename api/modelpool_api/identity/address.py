"""Whose address a request comes from, and which network that stands for. Pure.

A forwarded header is only as good as who sent it: it is read from right to left, as long as the sender of each entry is
in a configured network. What clients write further left counts for nothing.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
PREFIX_BITS = 64
SITE_BITS = 48
_REMEMBERED = 1_024
"""Addresses that were read lately; most requests come from the same few proxies."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The networks of an address: ``prefix`` is what a household has (IPv4 /32, IPv6 /64), ``site`` an IPv6 /48."""

    prefix: str
    site: str | None = None


@lru_cache(_REMEMBERED)
def parse_address(text: str) -> Address | None:
    """An address as headers and sockets write it: with a zone, in brackets, with a port; IPv4 in IPv6 is unwrapped."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        parsed = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        return parsed.ipv4_mapped
    return parsed


def is_in(address: Address, networks: Iterable[Network]) -> bool:
    """Whether one of ``networks`` holds ``address``."""
    return any(address.version == network.version and address in network for network in networks)


def client_address(peer: str, forwarded_for: Sequence[str], trusted: Sequence[Network]) -> Address | None:
    """The first address, from the connection backwards, that no trusted proxy has.

    ``forwarded_for`` are the values of the X-Forwarded-For headers in their order. None: the peer has no address (a
    Unix socket). An entry that cannot be read ends the walk: the proxy that passed it on stands for its client.
    """
    current = parse_address(peer)
    if current is None or not is_in(current, trusted):
        return current
    for entry in reversed([entry for value in forwarded_for for entry in value.split(",")]):
        found = parse_address(entry)
        if found is None:
            return current
        current = found
        if not is_in(current, trusted):
            return current
    return current


def origin_of(address: Address | None) -> Origin:
    """The networks that ``address`` stands for; all without an address are one."""
    if address is None:
        return Origin("local")
    if isinstance(address, ipaddress.IPv4Address):
        return Origin(str(address))
    prefix, site = (ipaddress.ip_network((int(address), bits), strict=False) for bits in (PREFIX_BITS, SITE_BITS))
    return Origin(str(prefix), str(site))
