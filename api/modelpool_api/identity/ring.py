"""The ring of signing secrets, newest first, and what is derived from it. Pure.

The newest signs; all are accepted, so that a rotation logs nobody out. A secret never leaves the process: what does is
an HMAC under a key of the day, which tells the same visitor again today and nobody tomorrow.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from functools import lru_cache

from modelpool.errors import InvalidInput

SHORTEST = 16
_BLOCK = 64
"""Of SHA-256, in bytes."""
_REMEMBERED = 1_024
"""Names: one request needs the same few several times. They are in this process only, and soon forgotten."""


def _mac(key: bytes, *parts: str) -> bytes:
    """HMAC-SHA256 (RFC 2104) of ``parts``."""
    inner, outer = _begun(key)
    inner, outer = inner.copy(), outer.copy()
    inner.update("\n".join(parts).encode())
    outer.update(inner.digest())
    return outer.digest()


@lru_cache(16)
def _begun(key: bytes) -> tuple[hashlib._Hash, hashlib._Hash]:
    """Both hashes with the key taken in, which is more than half of what a short message costs."""
    block = (key if len(key) <= _BLOCK else hashlib.sha256(key).digest()).ljust(_BLOCK, b"\0")
    return hashlib.sha256(bytes(byte ^ 0x36 for byte in block)), hashlib.sha256(bytes(byte ^ 0x5C for byte in block))


@dataclass(frozen=True, slots=True)
class DayKey:
    """The key of one UTC day (counted from 1970)."""

    day: int
    key: bytes

    def name(self, *parts: str) -> str:
        """What stands for ``parts`` today: 27 characters, of no use to anybody without the secret."""
        return _name(self.key, parts)


@dataclass(frozen=True, slots=True)
class SecretRing:
    """One or more secrets, the newest first."""

    secrets: tuple[bytes, ...]

    @classmethod
    def parse(cls, text: str) -> SecretRing:
        """Secrets with commas or white space between them, the newest first.

        :raises InvalidInput: none, or one that is too short to be secret.
        """
        secrets = tuple(part.encode() for part in text.replace(",", " ").split())
        if not secrets or min(map(len, secrets)) < SHORTEST:
            raise InvalidInput(
                f"the subject secret needs at least {SHORTEST} characters (several: newest first, with commas); "
                "make one with: openssl rand -hex 32",
                param="subjectSecret",
            )
        return cls(secrets)

    def sign(self, purpose: str, text: str) -> str:
        """A signature by the newest secret."""
        return _signature(self.secrets[0], purpose, text)

    def verify(self, purpose: str, text: str, signature: str) -> bool:
        """Whether any secret of the ring has signed ``text``. Takes as long for a near miss as for nonsense."""
        return self.signer(purpose, text, signature) is not None

    def signer(self, purpose: str, text: str, signature: str) -> int | None:
        """Which secret has signed ``text``, 0 the newest; None when none has. Takes as long whatever it says."""
        offered = signature.encode()
        good = [hmac.compare_digest(_signature(key, purpose, text).encode(), offered) for key in self.secrets]
        return good.index(True) if any(good) else None

    def derived(self, purpose: str) -> tuple[bytes, ...]:
        """A key for one purpose from each secret, newest first: for libraries that sign by themselves."""
        return tuple(_mac(key, "key", purpose) for key in self.secrets)

    def names(self, purpose: str, *parts: str) -> tuple[str, ...]:
        """What stands for ``parts`` under each secret, newest first: for as long as the secret is in use."""
        return tuple(_name(key, parts) for key in self.derived(purpose))

    def ids(self) -> tuple[str, ...]:
        """Names of the secrets that do not give them away, newest first."""
        return tuple(_mac(key, "id").hex()[:16] for key in self.secrets)

    def day_key(self, day: int, secret: str) -> DayKey:
        """The day's key under the secret of this id; under the newest where the ring does not hold it."""
        key = dict(zip(self.ids(), self.secrets, strict=True)).get(secret, self.secrets[0])
        return DayKey(day, _mac(key, "day", str(day)))


@lru_cache(_REMEMBERED)
def _name(key: bytes, parts: tuple[str, ...]) -> str:
    return base64.urlsafe_b64encode(_mac(key, *parts)[:20]).decode().rstrip("=")


def _signature(key: bytes, purpose: str, text: str) -> str:
    return base64.urlsafe_b64encode(_mac(key, "sign", purpose, text)[:24]).decode()
