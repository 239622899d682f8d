"""What the operator remembers from round to round. Losing it costs a little precision and moves nothing.

Everything here can be worked out again from assignments, heartbeats and demand, as far as a decision depends on it.
Moments are Unix milliseconds.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from modelpool.documents import REMOTE, Assignment, Heartbeat
from modelpool.queue.port import ModelDepth
from modelpool_operator.demand.port import Demand
from modelpool_operator.planner import FailedLoad

FIRST_RETRY_SECONDS = 10.0
LAST_RETRY_SECONDS = 900.0
LOAD_DEADLINE_SECONDS = 120.0
"""The least time that a load may take before it counts as failed."""
LOAD_DEADLINE_FACTOR = 10.0
"""It may also take this many times as long as expected."""


@dataclass(frozen=True, slots=True)
class _Failure:
    at: int
    """As the worker told it: the same moment is the same failure."""
    attempts: int
    retry_at: int
    message: str
    seen_at: int


def retry_seconds(attempts: int) -> float:
    """How long a model that failed to load is left alone: doubling from ten seconds to a quarter of an hour."""
    return min(LAST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2.0 ** min(attempts - 1, 10))


class History:
    """Fed with every observation, in order of time."""

    def __init__(self) -> None:
        self.used_at: dict[str, int] = {}
        """When a job of a model last waited or ran."""
        self.left_at: dict[str, int] = {}
        """When a model was last hot anywhere."""
        self._hot_since: dict[str, dict[str, int]] = {}
        self._coming_since: dict[tuple[str, str], int] = {}
        self._failures: dict[tuple[str, str], _Failure] = {}
        self._sources: dict[str, str] = {}

    def hot_since(self, slot: str) -> Mapping[str, int]:
        """Since when the slot's models are hot."""
        return self._hot_since.get(slot, {})

    def failed(self) -> tuple[FailedLoad, ...]:
        """Loads that went wrong, in a fixed order."""
        return tuple(
            FailedLoad(slot, model, failure.retry_at, failure.attempts, failure.message, failure.seen_at)
            for (slot, model), failure in sorted(self._failures.items())
        )

    def keep(self, slots: Collection[str], sources: Mapping[str, str], now: int) -> None:
        """Forget failures of slots and models that are gone; a model with another source may be tried at once.

        ``sources``: for each model whatever differs when it is another.
        """
        self._failures = {key: old for key, old in self._failures.items() if key[0] in slots and key[1] in sources}
        for (slot, model), old in self._failures.items():
            if self._sources.get(model, sources[model]) != sources[model]:
                # Its moment stays known, for the worker goes on telling of it.
                self._failures[slot, model] = replace(old, attempts=0, retry_at=now)
        self._sources = dict(sources)

    def absorb(
        self,
        now: int,
        heartbeats: Mapping[str, Heartbeat],
        assignments: Mapping[str, Assignment],
        depths: Mapping[str, ModelDepth],
        demand: Demand,
        load_seconds: Mapping[str, float],
    ) -> None:
        """Take one observation in. ``load_seconds`` says how long each model's load is expected to take."""
        self._note_use(now, heartbeats, assignments, depths, demand, load_seconds)
        for slot in [slot for slot in self._hot_since if slot not in heartbeats]:
            del self._hot_since[slot]
        for key in [key for key in self._coming_since if key[0] not in heartbeats]:
            del self._coming_since[key]
        for slot, heartbeat in heartbeats.items():
            assignment = assignments.get(slot)
            self._note_hot(now, slot, heartbeat, assignment)
            self._note_failures(now, slot, heartbeat, assignment)
            self._note_deadlines(now, slot, heartbeat, assignment, load_seconds)

    def _note_use(
        self,
        now: int,
        heartbeats: Mapping[str, Heartbeat],
        assignments: Mapping[str, Assignment],
        depths: Mapping[str, ModelDepth],
        demand: Demand,
        models: Mapping[str, float],
    ) -> None:
        running = {heartbeat.batch.model for heartbeat in heartbeats.values() if heartbeat.batch is not None}
        hot = {model for heartbeat in heartbeats.values() for model in heartbeat.hot}
        for model in models:
            depth = depths.get(model)
            if model in running or (depth is not None and (depth.queued or depth.running)):
                self.used_at[model] = now
            elif model not in self.used_at:
                # The first look: a model was of use when it was last asked for, or else when it was placed.
                placed = [a.updated_at for a in assignments.values() if model in a.hot]
                asked = demand.asked_at.get(model, 0 if demand.source else now)
                self.used_at[model] = max([asked, *placed])
            if model in hot:
                self.left_at[model] = now

    def _note_hot(self, now: int, slot: str, heartbeat: Heartbeat, assignment: Assignment | None) -> None:
        known = self._hot_since.get(slot)
        since = now if known is not None or assignment is None else assignment.updated_at
        self._hot_since[slot] = {model: (known or {}).get(model, since) for model in heartbeat.hot}

    def _note_failures(self, now: int, slot: str, heartbeat: Heartbeat, assignment: Assignment | None) -> None:
        """Only what was to be hot counts: a model that found no room in host RAM can be loaded all the same."""
        for model in heartbeat.hot:
            self._failures.pop((slot, model), None)
        for model, failure in heartbeat.failed.items():
            known = self._failures.get((slot, model))
            wanted = assignment is not None and model in assignment.hot and model not in heartbeat.hot
            if wanted and (known is None or known.at != failure.at):
                self._fail(now, (slot, model), failure.at, failure.message)

    def _note_deadlines(
        self,
        now: int,
        slot: str,
        heartbeat: Heartbeat,
        assignment: Assignment | None,
        load_seconds: Mapping[str, float],
    ) -> None:
        coming = [m for m in assignment.hot if m not in heartbeat.hot] if assignment is not None else []
        for key in [key for key in self._coming_since if key[0] == slot and key[1] not in coming]:
            del self._coming_since[key]
        for model in coming:
            fetching = heartbeat.loading is not None and heartbeat.loading.origin == REMOTE
            if heartbeat.batch is not None or fetching:  # the load begins when that is done
                self._coming_since[(slot, model)] = now
            since = self._coming_since.setdefault((slot, model), now)
            allowed = max(LOAD_DEADLINE_SECONDS, LOAD_DEADLINE_FACTOR * load_seconds.get(model, 0.0))
            if now - since > allowed * 1000:
                self._fail(now, (slot, model), now, f"it was not loaded within {allowed:.0f} s")
                self._coming_since[(slot, model)] = now

    def _fail(self, now: int, key: tuple[str, str], at: int, message: str) -> None:
        attempts = self._failures[key].attempts + 1 if key in self._failures else 1
        self._failures[key] = _Failure(at, attempts, now + int(retry_seconds(attempts) * 1000), message, now)
