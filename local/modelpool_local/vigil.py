"""Which workers hang: nothing is heard of them, or their batch does not get on. Pure; times are seconds of one clock.

Only how long something stays the same counts, not what the worker's clock says: a clock that is set ends nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from modelpool.documents import Heartbeat
from modelpool.slots import ObservedSlot, SlotPhase

SILENT_SECONDS = 120.0
"""A worker that has not been heard for so long, also after its start, hangs."""
STALLED_SECONDS = 120.0
"""A batch that has made no step for so long hangs, as it does for the worker's own liveness probe."""


@dataclass(frozen=True, slots=True)
class Watched:
    """One worker process: when it was last heard (or first watched), and when its engine last got on or had no work."""

    pid: int
    heard: float
    moved: float
    mark: tuple[int, int] | None = None
    """What changes when a batch begins and with every step of it; None without a batch."""


def watch(
    before: Mapping[str, Watched], slots: Mapping[str, ObservedSlot], heartbeats: Mapping[str, Heartbeat], now: float
) -> dict[str, Watched]:
    """What is known of every running worker after one more look. ``heartbeats`` must be those of a Redis that answers."""
    watched = {}
    for name, slot in slots.items():
        if slot.pid is None or slot.phase is not SlotPhase.READY:
            continue
        known = before.get(name)
        if known is None or known.pid != slot.pid:
            known = Watched(slot.pid, now, now)
        heartbeat = heartbeats.get(name)
        # The last heartbeat of a process outlives it for a while.
        if heartbeat is not None and heartbeat.pid == slot.pid:
            mark = (heartbeat.batch.since, heartbeat.progress_at) if heartbeat.batch else None
            stands = mark is not None and mark == known.mark
            known = Watched(slot.pid, now, known.moved if stands else now, mark)
        watched[name] = known
    return watched


def hangs(worker: Watched, now: float) -> str | None:
    """Why the worker should be killed, or None."""
    if now - worker.heard > SILENT_SECONDS:
        return f"it gave no sign of life for {now - worker.heard:.0f} s"
    if worker.mark is not None and now - worker.moved > STALLED_SECONDS:
        return f"its batch made no step for {now - worker.moved:.0f} s"
    return None
