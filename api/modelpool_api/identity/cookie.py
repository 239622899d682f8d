"""The visitor's cookie: a random id, when it was signed, and the signature. The counts lie in Redis, not here. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from modelpool_api.identity.ring import SecretRing
from modelpool_api.policy import Cookie

_FORM = re.compile(r"1\.([A-Za-z0-9_-]{22})\.(\d{9,11})\.([A-Za-z0-9_-]{32})")
_PURPOSE = "visitor"
AHEAD_SECONDS = 86_400
"""How far another replica's clock may be ahead of ours."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who a valid cookie says is there."""

    id: str
    signed_at: int
    """Unix seconds."""
    by_newest: bool


def make_cookie(visitor: str, now: int, ring: SecretRing) -> str:
    """The cookie's value for the visitor's id, which is 128 random bits in base64. ``now`` in Unix seconds."""
    text = f"1.{visitor}.{now}"
    return f"{text}.{ring.sign(_PURPOSE, text)}"


def read_cookie(value: str | None, now: int, ring: SecretRing, rules: Cookie) -> Visitor | None:
    """The visitor; None without a cookie, and with one that we have not signed or that is too old."""
    found = _FORM.fullmatch(value or "")
    if found is None:
        return None
    visitor, at, signature = found[1], int(found[2]), found[3]
    text = f"1.{visitor}.{found[2]}"
    signer = ring.signer(_PURPOSE, text, signature)
    if signer is None:
        return None
    if not now - rules.life_days * 86_400 <= at <= now + AHEAD_SECONDS:
        return None
    return Visitor(visitor, at, signer == 0)


def is_due(visitor: Visitor, now: int, rules: Cookie) -> bool:
    """Whether the cookie should be signed anew."""
    return not visitor.by_newest or now - visitor.signed_at >= rules.renew_hours * 3600


def set_cookie(value: str, rules: Cookie, *, path: str, https: bool) -> str:
    """The Set-Cookie header."""
    secure = https if rules.secure is None else rules.secure
    parts = [f"{rules.name}={value}", f"Max-Age={rules.life_days * 86_400}", f"Path={path or '/'}", "HttpOnly"]
    return "; ".join([*parts, f"SameSite={rules.same_site.title()}", *(["Secure"] if secure else [])])
