"""Who is told what the operator finds and does, apart from the notice board in Redis."""

from __future__ import annotations

from typing import Protocol

from modelpool.resources.status import ModelPoolStatus
from modelpool_operator.planner import Move


class Teller(Protocol):
    """Never waits and never fails: what cannot be told now is told later or not at all."""

    def tell(self, status: ModelPoolStatus) -> None:
        """How the pool is."""
        ...

    def moved(self, move: Move) -> None:
        """A model comes or goes."""
        ...


class NobodyElse:
    """For a pool that is kept where people look at the notice board."""

    def tell(self, status: ModelPoolStatus) -> None:
        """See :class:`Teller`."""

    def moved(self, move: Move) -> None:
        """See :class:`Teller`."""
