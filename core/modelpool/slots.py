"""Slots as the operator wants them and as a runtime finds them: the protocol between operator and local supervisor.

The operator sends one :class:`DesiredSlots` as a line of JSON over the supervisor's Unix socket and gets one
:class:`ObservedSlots` line back; the supervisor keeps what it was last told, so a dead operator orphans nobody.
"""

from __future__ import annotations

from enum import StrEnum

from modelpool.jobs import Document


class SlotPhase(StrEnum):
    """How a slot's worker is."""

    PENDING = "Pending"
    """Not started, or no GPU yet."""
    STARTING = "Starting"
    READY = "Ready"
    DRAINING = "Draining"
    RESTARTING = "Restarting"
    """Crashed; waits for its back-off."""
    FAILED = "Failed"


class DesiredSlot(Document):
    """One worker that shall exist."""

    slot: str
    tier: str
    device: str
    vram_bytes: int
    host_memory_bytes: int


class DesiredSlots(Document):
    """All workers of one pool that shall exist; others of the pool are drained and ended."""

    pool: str
    epoch: int
    slots: tuple[DesiredSlot, ...]


class ObservedSlot(Document):
    """One worker as the runtime sees it."""

    slot: str
    tier: str
    phase: SlotPhase
    pid: int | None = None
    node: str = ""
    pod: str = ""
    restarts: int = 0
    reason: str = ""
    """The runtime's own words when something is wrong."""
    since: int = 0


class RuntimeProblem(Document):
    """Something that keeps the runtime from what is desired: ``reason`` in CamelCase, ``message`` one sentence."""

    reason: str
    message: str


class ObservedSlots(Document):
    """Answer to :class:`DesiredSlots`."""

    pool: str
    slots: tuple[ObservedSlot, ...]
    problems: tuple[RuntimeProblem, ...] = ()
    rollout: str = ""
    """What the replacing of workers waits for, while it is under way."""
