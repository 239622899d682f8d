"""A source of demand, and another that stands in while the first has no figures."""

from __future__ import annotations

from dataclasses import replace

from modelpool.errors import Unavailable
from modelpool_operator.demand.port import Demand, DemandSource


class WithStandIn:
    """See :class:`modelpool_operator.demand.port.DemandSource`."""

    def __init__(self, first: DemandSource, stand_in: DemandSource) -> None:
        self._first = first
        self._stand_in = stand_in

    async def read(self, now: int, window_seconds: int) -> Demand:
        """See the protocol; the answer says when it is the stand-in's, and why."""
        try:
            return await self._first.read(now, window_seconds)
        except Unavailable as error:
            found = await self._stand_in.read(now, window_seconds)
            return replace(found, stands_in_for=error.message)
