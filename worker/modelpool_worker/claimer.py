"""Asking the queue for the next batch, under a name that lets the question be repeated."""

from __future__ import annotations

import secrets

from modelpool.queue.port import Batch, HotModel, Queue
from modelpool_worker.clock import Clock
from modelpool_worker.residency.keeper import Keeper
from modelpool_worker.running import LEASE_MS, Run
from modelpool_worker.slot import Slot


class Claimer:
    """Claims for one slot. A claim that got no answer is made again under the same lease, and gets the same batch."""

    def __init__(self, queue: Queue, keeper: Keeper, slot: Slot, clock: Clock) -> None:
        self._queue = queue
        self._keeper = keeper
        self._slot = slot
        self._clock = clock
        self._unanswered: str | None = None
        """Lease of a claim that may have brought a batch, for all we know."""

    async def claim(self) -> Batch | None:
        """The next batch for a model that is held; none when there is nothing to do.

        :raises QueueUnavailable: nobody knows whether there was one; claim again.
        """
        catalog = self._keeper.catalog
        models = [model for model in map(catalog.model, self._keeper.serving) if model is not None]
        if not models and self._unanswered is None:
            return None
        hot = [
            HotModel(model.name, self._slot.sizes(model.name, model.batch.max).cap(), catalog.target_seconds)
            for model in models
        ]
        lease = self._unanswered = self._unanswered or f"{self._slot.worker}:{secrets.token_hex(8)}"
        # Nothing offered may be evicted while the claim is on its way; what comes back is pinned before the keeper's turn.
        for model in models:
            self._keeper.pin(model.name)
        try:
            batch = await self._queue.claim(
                self._slot.worker, self._slot.name, hot, mixes=self._slot.mixes, lease_ms=LEASE_MS, lease=lease
            )
        finally:
            for model in models:
                self._keeper.unpin(model.name)
        self._unanswered = None
        if batch is not None and batch.model not in {model.name for model in models}:
            # Claimed by the claim that got no answer, and its model has had to leave since.
            await Run(batch, self._queue, self._clock).release()
            return None
        return batch

    async def give_up(self) -> None:
        """Give back what a claim that got no answer may have brought: it is made once more, for no model.

        :raises QueueUnavailable: nobody knows whether there was a batch; if so, its lease lapses.
        """
        if self._unanswered is None:
            return
        batch = await self._queue.claim(
            self._slot.worker, self._slot.name, [], lease_ms=LEASE_MS, lease=self._unanswered
        )
        self._unanswered = None
        if batch is not None:
            await Run(batch, self._queue, self._clock).release()
