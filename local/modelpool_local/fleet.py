"""The workers: one per desired slot, started, kept alive and drained as the operator last said."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from modelpool.slots import DesiredSlot, DesiredSlots, ObservedSlot, ObservedSlots
from modelpool_local.backoff import BackOffPolicy
from modelpool_local.processes import Child, Kept

StartWorker = Callable[[DesiredSlot], Awaitable[Child]]


class Fleet:
    """Keeps what it was last told, so that a dead operator orphans nobody."""

    def __init__(
        self,
        pool: str,
        start: StartWorker,
        say: Callable[[str], None],
        *,
        gone: Callable[[str], None] = lambda slot: None,
        grace: float = 30.0,
        policy: BackOffPolicy | None = None,
    ) -> None:
        self.pool = pool
        self._start = start
        self._say = say
        self._gone = gone
        self._grace = grace
        self._policy = policy
        self._epoch = 0
        self._wanted: dict[str, DesiredSlot] = {}
        self._workers: dict[str, tuple[DesiredSlot, Kept]] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def workers(self) -> dict[str, Kept]:
        """The worker of each slot."""
        return {slot: kept for slot, (_, kept) in self._workers.items()}

    def desire(self, desired: DesiredSlots) -> ObservedSlots:
        """Begin to make it so, and say how things are now. An older operator's wishes are not followed."""
        if desired.pool == self.pool and desired.epoch >= self._epoch and not self._closed:
            self._epoch = desired.epoch
            self._wanted = {slot.slot: slot for slot in desired.slots}
            self._converge()
        return self.observed()

    def observed(self) -> ObservedSlots:
        """How every worker is."""
        return ObservedSlots(
            pool=self.pool,
            slots=tuple(
                ObservedSlot(
                    slot=slot,
                    tier=description.tier,
                    phase=kept.phase,
                    pid=kept.pid,
                    node="localhost",
                    restarts=kept.restarts,
                    reason=kept.reason,
                    since=kept.since,
                )
                for slot, (description, kept) in sorted(self._workers.items())
            ),
        )

    async def drain(self) -> None:
        """End every worker in good order, for good."""
        self._closed = True
        self._wanted = {}
        self._converge()
        while self._leaving:
            leaving = list(self._leaving)
            for task, outcome in zip(leaving, await asyncio.gather(*leaving, return_exceptions=True), strict=True):
                if outcome is not None:
                    self._say(f"{task.get_name()} did not end in good order: {outcome!r}")

    def kill(self) -> None:
        """End every worker at once."""
        self._closed = True
        for _, kept in self._workers.values():
            kept.kill()

    def _converge(self) -> None:
        for slot, (description, kept) in list(self._workers.items()):
            # A slot that changed is drained first and comes back with the operator's next line.
            if self._wanted.get(slot) != description and slot not in self._names_leaving():
                task = asyncio.create_task(self._leave(slot, kept), name=slot)
                self._leaving.add(task)
                task.add_done_callback(self._leaving.discard)
        for slot, description in self._wanted.items():
            if slot not in self._workers:
                self._workers[slot] = (description, self._begin(description))

    def _begin(self, description: DesiredSlot) -> Kept:
        async def start() -> Child:
            return await self._start(description)

        kept = Kept(description.slot, start, self._say, policy=self._policy, grace=self._grace)
        kept.begin()
        return kept

    async def _leave(self, slot: str, kept: Kept) -> None:
        try:
            await kept.stop()
        finally:
            del self._workers[slot]
            self._gone(slot)

    def _names_leaving(self) -> set[str]:
        return {task.get_name() for task in self._leaving}
