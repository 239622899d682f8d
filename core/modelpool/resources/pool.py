"""Which pool: namespace and name, and everything derived from them."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True, slots=True, order=True)
class PoolRef:
    """A pool's identity. ``str(ref)`` is ``namespace/name``."""

    namespace: str
    name: str

    @classmethod
    def parse(cls, text: str) -> PoolRef:
        """``namespace/name``, or a bare name in the namespace ``default``."""
        namespace, _, name = text.rpartition("/")
        return cls(namespace or "default", name)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def short_id(self) -> str:
        """Eight lower-case letters and digits that start every job id of this pool."""
        return _short_id(str(self))

    def key(self, *parts: str) -> str:
        """A Redis key of this pool; the braces keep all of a pool's keys in one hash slot."""
        return ":".join(("mpl:{" + str(self) + "}", *parts))


@cache
def _short_id(name: str) -> str:
    return base64.b32encode(hashlib.sha256(name.encode()).digest()[:5]).decode().lower()
