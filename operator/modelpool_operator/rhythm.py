"""When a pool's next round comes: at once for what nobody serves, soon while something is under way, otherwise now and then."""

from __future__ import annotations

import asyncio

from modelpool_operator.planner import HeldReason, Plan, Snapshot

BUSY_SECONDS = 0.25
"""Between rounds while workers start, models load or misses wait: nobody rings when that is done."""
SOON_SECONDS = 0.5
"""After a bell about a model that is served already: its queue may have become long."""
REST_SECONDS, LONGEST_REST_SECONDS = 2.0, 5.0
"""Between rounds otherwise; the longer, the more a round costs."""
LEAST_REST = 200
"""A round that is not urgent waits so many times as long as the last one took, so that a process can keep 200 pools."""
LEAST_SECONDS = 0.02
"""Between any two rounds: bells come by the hundred."""


class Rhythm:
    """Of one pool's rounds."""

    def __init__(self) -> None:
        self._wake = asyncio.Event()
        self._missed = False
        self._served: frozenset[str] = frozenset()
        self._least = 0.0
        """Seconds that a round which is not urgent has to wait."""
        self._timer: asyncio.TimerHandle | None = None

    def ring(self, model: str) -> None:
        """A job has come for this model. One that nobody holds, or was told to hold, is a miss."""
        loop = asyncio.get_running_loop()
        if model not in self._served:
            self._missed = True
            self._wake.set()
        elif self._timer is None or self._timer.when() <= loop.time():
            self._timer = loop.call_later(max(SOON_SECONDS, self._least), self._wake.set)

    def wake(self) -> None:
        """Something has happened to the pool or its workers: look now."""
        self._wake.set()

    def is_urgent(self) -> bool:
        """Whether a miss waits for the next round: it goes before other pools' rounds."""
        return self._missed

    def begin(self) -> None:
        """A round begins: it sees whatever has rung until now."""
        self._wake.clear()
        self._missed = False

    def end(self, snapshot: Snapshot, planned: Plan) -> float:
        """A round has ended with this plan. In how many seconds the next one comes at the latest."""
        living = {slot.name for slot in snapshot.slots if slot.alive}
        self._served = frozenset(name for target in planned.targets if target.slot in living for name in target.hot)
        return next_look(snapshot, planned, self._least)

    def took(self, seconds: float) -> None:
        """What the last round cost."""
        self._least = LEAST_REST * seconds

    async def rest(self, seconds: float) -> None:
        """Until something rings, and no longer than that."""
        await asyncio.sleep(LEAST_SECONDS)
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return


def next_look(snapshot: Snapshot, planned: Plan, least: float) -> float:
    """Seconds until the next round if nothing rings; one that is not urgent waits for ``least`` seconds. Pure."""
    rest = min(max(REST_SECONDS, least), LONGEST_REST_SECONDS, snapshot.rules.interval_seconds)
    coming = any(slot.starting for slot in snapshot.slots)
    loading = any(
        slot.alive and set(target.hot) - set(slot.hot)
        for slot, target in zip(snapshot.slots, planned.targets, strict=True)
    )
    # A slot without a worker gets one when the runtime says so: that rings.
    waiting = any(held.demanded and held.reason is not HeldReason.NO_WORKER for held in planned.held)
    if coming or loading or waiting:
        return min(BUSY_SECONDS, rest)
    return min(max(SOON_SECONDS, least), rest) if any(model.queued for model in snapshot.models) else rest
