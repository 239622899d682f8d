"""A pool that is a custom resource, followed as it changes. An edit that cannot work leaves the last good one in force.

The API server refuses nearly all of those by the rules of the CRD; what gets past them is found here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from modelpool.errors import InvalidSpec
from modelpool.resources.load import read_pool
from modelpool.resources.spec import ModelPool

Document = Mapping[str, Any]


class PoolResource:
    """``look`` gives the resource as it was last seen, or None when it is gone.

    :raises InvalidSpec: the first version must be one that can work.
    """

    def __init__(self, document: Document, look: Callable[[], Document | None]) -> None:
        self.uid = str(document["metadata"]["uid"])
        self.problem: str | None = None
        """What is wrong with the resource as it stands, in one line."""
        self.epoch = 0
        """As the status says; raised by every operator that takes over."""
        self._look = look
        self._generation = document["metadata"].get("generation")
        self._note_epoch(document)
        self.pool: ModelPool = _read(document)

    def refresh(self) -> bool:
        """See :class:`modelpool_operator.sources.port.PoolSource`."""
        document = self._look()
        if document is None or document["metadata"]["uid"] != self.uid:
            return False
        self._note_epoch(document)
        if document["metadata"].get("generation") == self._generation:
            return False
        self._generation = document["metadata"].get("generation")
        before = (self.pool, self.problem)
        try:
            self.pool, self.problem = _read(document), None
        except InvalidSpec as error:
            self.problem = error.message
        return (self.pool, self.problem) != before

    def _note_epoch(self, document: Document) -> None:
        found = (document.get("status") or {}).get("epoch")
        self.epoch = max(self.epoch, found if isinstance(found, int) else 0)


def _read(document: Document) -> ModelPool:
    metadata = document["metadata"]
    return read_pool(document, f"{metadata['namespace']}/{metadata['name']}")
