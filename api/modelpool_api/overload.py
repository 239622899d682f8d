"""When a lane is full: how long a job that comes now would wait for its start, and when to come back instead. Pure.

Seconds. A slot works off what waits for any model that it holds hot, so a model waits where the least is in front of it;
what waits for a model is shared by all slots that hold it. Only what goes before counts: paid jobs for a paid one,
everything for the others. Until a pace has been measured the spec's figures are taken.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from modelpool.documents import Heartbeat
from modelpool.jobs import Lane
from modelpool.queue.port import ModelDepth
from modelpool_api.estimate import Capacity

LONGEST_RETRY = 120.0
SHORTEST_SPREAD = 10.0
"""Those who were refused together come back over this long at least."""


def work_in_front(depth: ModelDepth | None, lane: Lane) -> float:
    """Expected GPU-seconds that wait for one model and would start before a job of ``lane``."""
    if depth is None or not depth.queued:
        return 0.0
    if lane is not Lane.PAID:
        return depth.queued_work
    return depth.queued_work * depth.by_lane.get(Lane.PAID, 0) / depth.queued


def predicted_wait(
    model: str,
    can: Capacity,
    heartbeats: Iterable[Heartbeat],
    in_front: Mapping[str, float],
    pace: Callable[[str], float],
) -> float:
    """Seconds until a job for ``model`` would start.

    ``in_front`` is the work in front of it by model, ``pace`` the seconds of a slot that a GPU-second of work takes.
    """
    beats = [beat for beat in heartbeats if not beat.draining]
    replicas = {name: sum(name in beat.hot for beat in beats) for name in {*in_front, model}}

    def share(name: str) -> float:
        return in_front.get(name, 0.0) * pace(name) / max(1, replicas[name])

    holders = [beat for beat in beats if model in beat.hot]
    if not holders:
        return (can.load_seconds or 0.0) + share(model)
    return can.busy_seconds + min(sum(share(name) for name in replicas if name in beat.hot) for beat in holders)


@dataclass(frozen=True, slots=True)
class Full:
    """A lane that a job would wait in for longer than its limit. Seconds."""

    wait: float
    limit: float

    def retry_after(self, chance: float) -> int:
        """Whole seconds until it is worth coming back; ``chance`` (0 to 1) spreads those who were refused together.

        Evenly over as long again as the lane is too full by, however full it is.
        """
        first = min(LONGEST_RETRY / 2, max(1.0, self.wait - self.limit))
        return math.ceil(first + max(first, SHORTEST_SPREAD) * chance)
