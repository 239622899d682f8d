"""The store's port. Keys are relative paths such as ``results/<random>.png`` or ``inputs/<sha256>.png``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object's metadata. ``modified_at`` in Unix milliseconds, ``etag`` opaque and without quotes."""

    key: str
    size: int
    modified_at: int
    etag: str


class Store(Protocol):
    """Bytes by key. Every method raises :class:`modelpool.errors.StoreUnavailable` when the store is away."""

    @property
    def expires(self) -> bool:
        """Whether the server behind the store removes by itself what is old. Such a store need not be able to list."""
        ...

    async def put(self, key: str, data: bytes) -> None:
        """Write atomically; a reader sees the old object or the new one. The content type follows the extension.

        :raises ValueError: the key is not one of ours.
        """
        ...

    async def get(self, key: str) -> bytes:
        """The whole object.

        :raises ResultNotFound: no such object, or a key that is not one of ours.
        """
        ...

    async def fetch(self, key: str) -> tuple[StoredObject, bytes]:
        """Metadata and the whole object in one round trip; raises as ``get``."""
        ...

    async def head(self, key: str) -> StoredObject:
        """Metadata only; raises as ``get``."""
        ...

    async def delete(self, key: str) -> None:
        """Remove; an object that is not there is no error."""
        ...

    def list(self, prefix: str) -> AsyncIterator[StoredObject]:
        """Every object below ``prefix``, which is ``results`` or ``inputs``.

        :raises NotImplementedError: a store that ``expires`` may have no list.
        """
        ...
