"""A store on obstore: a folder, S3 and what speaks like it, an HTTP server with PUT.

A folder's writes go to a staging file and are renamed, so a reader or a crash never sees half an object.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import obstore
from obstore.exceptions import BaseError
from obstore.store import ObjectStore

from modelpool.errors import ResultNotFound, StoreUnavailable
from modelpool.store.keys import content_type, is_key, require_known, require_valid
from modelpool.store.port import StoredObject


class ObjectsStore:
    """Any obstore backend behind our port. ``where`` names it in messages, without credentials.

    ``attributes``: it keeps content types. ``multipart``: it takes large objects in parts. ``expires``: see the port;
    then it has no list.
    """

    def __init__(
        self, objects: ObjectStore, where: str, *, attributes: bool, multipart: bool = True, expires: bool = False
    ) -> None:
        self._objects = objects
        self._where = where
        self._attributes = attributes
        self._multipart = None if multipart else False
        self._expires = expires

    @property
    def expires(self) -> bool:
        """See :class:`modelpool.store.port.Store`."""
        return self._expires

    async def put(self, key: str, data: bytes) -> None:
        """See :class:`modelpool.store.port.Store`."""
        require_valid(key)
        # A folder keeps no attributes and refuses them; there the extension alone says the type.
        attributes = {"Content-Type": content_type(key)} if self._attributes else None
        try:
            with self._failures():
                await obstore.put_async(self._objects, key, data, attributes=attributes, use_multipart=self._multipart)
        except FileNotFoundError as error:
            raise self._away("the bucket, folder or address does not exist") from error

    async def get(self, key: str) -> bytes:
        """See :class:`modelpool.store.port.Store`."""
        return (await self.fetch(key))[1]

    async def fetch(self, key: str) -> tuple[StoredObject, bytes]:
        """See :class:`modelpool.store.port.Store`."""
        require_known(key)
        with self._failures(), _absence():
            answer = await obstore.get_async(self._objects, key)
            return _stored(answer.meta), bytes(await answer.bytes_async())

    async def head(self, key: str) -> StoredObject:
        """See :class:`modelpool.store.port.Store`."""
        require_known(key)
        with self._failures(), _absence():
            return _stored(await obstore.head_async(self._objects, key))

    async def delete(self, key: str) -> None:
        """See :class:`modelpool.store.port.Store`."""
        if not is_key(key):
            return
        try:
            with self._failures():
                await obstore.delete_async(self._objects, key)
        except FileNotFoundError:
            return

    async def list(self, prefix: str) -> AsyncIterator[StoredObject]:
        """See :class:`modelpool.store.port.Store`."""
        if self._expires:
            raise NotImplementedError(f"the result store {self._where} cannot list: its server expires what is old")
        with self._failures():
            async for chunk in obstore.list(self._objects, prefix, chunk_size=500):
                for meta in chunk:
                    yield _stored(meta)

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """obstore's and the operating system's errors as ours; absence passes through."""
        try:
            yield
        except FileNotFoundError:
            raise
        except (BaseError, OSError, ValueError) as error:
            raise self._away(type(error).__name__) from error

    def _away(self, reason: str) -> StoreUnavailable:
        return StoreUnavailable(f"the result store {self._where} cannot be used ({reason}); try again", retry_after=5)


@contextmanager
def _absence() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise ResultNotFound("there is no such file any more: results live 24 hours") from None


def _stored(meta: obstore.ObjectMeta) -> StoredObject:
    return StoredObject(
        key=meta["path"],
        size=meta["size"],
        modified_at=int(meta["last_modified"].timestamp() * 1000),
        etag=(meta["e_tag"] or "").removeprefix("W/").strip('"'),
    )
