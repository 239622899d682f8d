"""What the operator writes on the board: catalog, assignments and status. Nothing twice, and again what Redis has lost."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from modelpool.board import Board
from modelpool.documents import Assignment, Catalog
from modelpool.resources.catalog import catalog_of
from modelpool.resources.spec import ModelPool
from modelpool.resources.status import ModelPoolStatus
from modelpool_operator.pacing import Pace, due_in
from modelpool_operator.planner import Move, Plan

STATUS_MS = 1_000
"""Between two status writes."""


class Notices:
    """Every write is fenced by the operator's epoch.

    :raises StaleEpoch: from any write, when a newer operator is in charge.
    """

    def __init__(self, board: Board) -> None:
        self._board = board
        self._catalog: Catalog | None = None
        """As it is known to be published, without its moment; None when that has to be looked up."""
        self._made: tuple[ModelPool, Catalog] | None = None
        self._status: ModelPoolStatus | None = None
        self.latest: ModelPoolStatus | None = None
        """What was to be told last, written or not."""

    def forget(self) -> None:
        """Redis may have lost what we wrote."""
        self._catalog = None
        self._status = None

    async def publish_catalog(self, wanted: Catalog, engine: str, epoch: int, now: int) -> bool:
        """Publish the catalog if it is not there yet, and clear up after slots that are gone. True: it was news.

        ``wanted`` has no moment yet, and no engine: that is ``engine``, or the last one known while there is none.
        """
        if self._catalog is None:
            found = await self._board.catalog()
            self._catalog = found.model_copy(update={"updated_at": 0}) if found is not None else None
        if not engine and self._catalog is not None:
            engine = self._catalog.engine
        wanted = wanted.model_copy(update={"engine": engine})
        if self._catalog == wanted:
            return False
        stay = {slot.slot for slot in wanted.slots}
        gone = [slot.slot for slot in self._catalog.slots if slot.slot not in stay] if self._catalog else []
        await self._board.put_catalog(wanted.model_copy(update={"updated_at": now}), epoch)
        for slot in gone:
            await self._board.remove_slot(slot, epoch)
        for slot in _concerned(self._catalog, wanted):
            await self._board.ring(slot)
        self._catalog = wanted
        return True

    def catalog_of(self, pool: ModelPool) -> Catalog:
        """What the pool offers, made once for each change of it."""
        if self._made is None or self._made[0] is not pool:
            self._made = pool, catalog_of(pool)
        return self._made[1]

    async def assign(self, plan: Plan, on_record: Mapping[str, Assignment], epoch: int) -> AsyncIterator[Move]:
        """Write what is not on record yet; yields each move once it is written."""
        for target in plan.targets:
            known = on_record.get(target.slot)
            if known is None or known.epoch != epoch or (known.hot, known.warm) != (target.hot, target.warm):
                await self._board.assign(target.slot, epoch, target.hot, target.warm)
                for move in plan.moves:
                    if move.slot == target.slot:
                        yield move

    async def tell(self, status: ModelPoolStatus, refresh_ms: int) -> int | None:
        """Write the status if it says something new, at most once a second, and as a sign of life every ``refresh_ms``.

        Returns in how many milliseconds it may be written, if it still has to be.
        """
        self.latest = status
        age = status.updated_at - self._status.updated_at if self._status is not None else 0
        wait = due_in(Pace(STATUS_MS, STATUS_MS, refresh_ms), self._status, status, age)
        if wait != 0:
            return wait
        await self._board.put_status(status)
        self._status = status
        return None


def _concerned(old: Catalog | None, new: Catalog) -> list[str]:
    """Slots for which the new catalog has news of what to hold."""
    if old is None or old.models != new.models:
        return [slot.slot for slot in new.slots]
    return [slot.slot for slot in new.slots if old.stays(slot.slot) != slot.stays]
