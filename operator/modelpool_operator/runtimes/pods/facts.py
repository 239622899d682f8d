"""One pod as decisions and the status need it: a few facts, frozen. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from modelpool.slots import ObservedSlot, SlotPhase


@dataclass(frozen=True, slots=True)
class SeenPod:
    """One pod of a pool. Moments are Unix milliseconds."""

    name: str
    uid: str
    tier: str = ""
    node: str = ""
    template_hash: str = ""
    placement_hash: str = ""
    phase: SlotPhase = SlotPhase.PENDING
    reason: str = ""
    """The pod's own, or its scheduler's, words when it is not ready."""
    since: int = 0
    restarts: int = 0
    ready: bool = False
    ended: bool = False
    """It failed, was evicted, or is otherwise over: no kubelet will start it again."""
    unschedulable: bool = False
    deleted_at: int | None = None
    """When it will have had its grace period, once it is being deleted."""
    node_lost: bool = False
    """It is being deleted because of its node, and was not ready before."""
    unready_since: int | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def observed(self) -> ObservedSlot:
        """For the status."""
        return ObservedSlot(
            slot=self.name,
            tier=self.tier,
            phase=self.phase,
            node=self.node,
            pod=self.name,
            restarts=self.restarts,
            reason=self.reason,
            since=self.since,
        )
