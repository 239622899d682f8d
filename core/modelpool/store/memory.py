"""A store in this process's memory, for tests."""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator, Callable

from modelpool.errors import ResultNotFound
from modelpool.store.keys import require_known, require_valid
from modelpool.store.port import StoredObject


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class MemoryStore:
    """Bytes in a dictionary. ``now_ms`` stamps what is written."""

    expires = False

    def __init__(self, now_ms: Callable[[], int] = _now_ms) -> None:
        self._now_ms = now_ms
        self._objects: dict[str, tuple[StoredObject, bytes]] = {}

    async def put(self, key: str, data: bytes) -> None:
        """See :class:`modelpool.store.port.Store`."""
        require_valid(key)
        etag = hashlib.sha256(data).hexdigest()[:32]
        self._objects[key] = (StoredObject(key, len(data), self._now_ms(), etag), bytes(data))

    async def get(self, key: str) -> bytes:
        """See :class:`modelpool.store.port.Store`."""
        return (await self.fetch(key))[1]

    async def fetch(self, key: str) -> tuple[StoredObject, bytes]:
        """See :class:`modelpool.store.port.Store`."""
        require_known(key)
        try:
            return self._objects[key]
        except KeyError:
            raise ResultNotFound("there is no such file any more: results live 24 hours") from None

    async def head(self, key: str) -> StoredObject:
        """See :class:`modelpool.store.port.Store`."""
        return (await self.fetch(key))[0]

    async def delete(self, key: str) -> None:
        """See :class:`modelpool.store.port.Store`."""
        self._objects.pop(key, None)

    async def list(self, prefix: str) -> AsyncIterator[StoredObject]:
        """See :class:`modelpool.store.port.Store`."""
        for key, (found, _) in list(self._objects.items()):
            if key.startswith(f"{prefix.rstrip('/')}/"):
                yield found
