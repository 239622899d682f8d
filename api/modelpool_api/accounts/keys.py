"""What an issued key looks like and what is kept of it. Pure: randomness comes from outside.

A key is ``mp_<id>_<secret>``. The id finds the record, the secret is compared by its hash: 192 random bits need no salt
and no slow hash.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["account", "issued"]
_FORM = re.compile(r"mp_([0-9a-f]{12})_([A-Za-z0-9_-]{32})")
ID_FORM = r"^[0-9a-f]{12}$"


def key_text(id: str, secret: str) -> str:
    """The key as its holder writes it. ``id`` is 12 hex digits, ``secret`` 24 random bytes in URL-safe base64."""
    return f"mp_{id}_{secret}"


def parse_key(text: str) -> tuple[str, str] | None:
    """Id and secret; None when it is no key of ours."""
    found = _FORM.fullmatch(text)
    return (found[1], found[2]) if found else None


def digest(secret: str) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def holder(kind: Kind, id: str) -> str:
    """The id of the subject that holds a key."""
    return f"{kind}:{id}"


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """An issued key as Redis keeps it. Times in Unix milliseconds."""

    id: str
    kind: Kind
    name: str
    plan: str
    created_at: int
    digest: str
    earlier: tuple[tuple[str, int], ...] = ()
    """Digests of the secrets before it that still had a grace at the last rotation, each with when that ends."""

    @property
    def subject(self) -> str:
        """The id of the subject that holds it."""
        return holder(self.kind, self.id)

    def opens_with(self, secret: str, now_ms: int) -> bool:
        """Whether ``secret`` is this key's. Takes as long for a near miss as for nonsense."""
        offered = digest(secret)
        good = [hmac.compare_digest(self.digest, offered)]
        good += [hmac.compare_digest(old, offered) and now_ms < until for old, until in self.earlier]
        return any(good)
