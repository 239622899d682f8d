"""What came of the plans, in figures: for the operator's metrics, and for nothing that is decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from modelpool.metrics import OperatorMetrics
from modelpool_operator.demand.port import LAST_MINUTES, Demand
from modelpool_operator.planner import Action, Move, Plan, Snapshot
from modelpool_operator.planner.forecast import forecast_error

HORIZON_SECONDS = LAST_MINUTES * 60
LONGEST_ROUND_SECONDS = 10.0
"""Between two rounds that are further apart nobody was looking."""


@dataclass(frozen=True, slots=True)
class _Order:
    """A move that a worker was told to do."""

    action: Action
    reason: str
    at: int


class Measures:
    """Fed with every round of one pool. Moments are Unix milliseconds."""

    def __init__(self, metrics: OperatorMetrics, pool: str) -> None:
        self._metrics = metrics
        self._pool = pool
        self._orders: dict[tuple[str, str], _Order] = {}
        self._missed: frozenset[str] = frozenset()
        self._seen_at: int | None = None
        self._forecast: tuple[int, Mapping[str, float]] | None = None

    def note(self, snapshot: Snapshot, planned: Plan, demand: Demand) -> None:
        """Take one round in, after its moves were told."""
        self._count_misses(planned)
        self._count_done(snapshot)
        self._count_waiting(snapshot)
        self._compare_forecast(snapshot, demand)
        self._seen_at = snapshot.now

    def told(self, move: Move, snapshot: Snapshot) -> None:
        """A worker was told to do a move of the plan that was made for ``snapshot``."""
        reason = move.reason.value
        self._metrics.moves.labels(self._pool, reason).inc()
        self._orders[move.slot, move.model] = _Order(move.action, reason, snapshot.now)
        slot = next(slot for slot in snapshot.slots if slot.name == move.slot)
        if move.action is Action.UNLOAD and move.model in slot.hot_since:
            age = (snapshot.now - slot.hot_since[move.model]) / 1000
            self._metrics.age_at_eviction.labels(self._pool, reason).observe(age)

    def _count_misses(self, planned: Plan) -> None:
        """A miss counts once, however many rounds see it."""
        missed = frozenset(planned.misses)
        for model in missed - self._missed:
            self._metrics.demand_misses.labels(self._pool, model).inc()
        self._missed = missed

    def _count_done(self, snapshot: Snapshot) -> None:
        hot = {slot.name: slot.hot for slot in snapshot.slots if slot.alive}
        for (slot, model), order in list(self._orders.items()):
            if slot not in hot:  # what its worker held is gone with it
                del self._orders[slot, model]
            elif (model in hot[slot]) == (order.action is Action.LOAD) and snapshot.now > order.at:
                self._metrics.moves_done.labels(self._pool, order.reason).inc()
                seconds = (snapshot.now - order.at) / 1000
                self._metrics.move_seconds.labels(self._pool, order.action.value).observe(seconds)
                del self._orders[slot, model]

    def _count_waiting(self, snapshot: Snapshot) -> None:
        """Jobs that wait for room in a slot that holds their model wait for the GPU, not for a load."""
        if self._seen_at is None:
            return
        since = min((snapshot.now - self._seen_at) / 1000, LONGEST_ROUND_SECONDS)
        hot = {model for slot in snapshot.slots if slot.alive for model in slot.hot}
        for model in snapshot.models:
            if model.queued and model.name not in hot:
                self._metrics.wait_behind_loads.labels(self._pool, model.name).inc(model.queued * since)

    def _compare_forecast(self, snapshot: Snapshot, demand: Demand) -> None:
        """Once in each horizon: what it brought against what was expected at its beginning."""
        if not demand.source:
            return
        if self._forecast is not None:
            made_at, rates = self._forecast
            if snapshot.now - made_at < HORIZON_SECONDS * 1000:
                return
            for model, rate in rates.items():
                error = forecast_error(demand.last_jobs.get(model, 0.0), rate * HORIZON_SECONDS)
                self._metrics.forecast_error.labels(self._pool, model).set(error)
        self._forecast = snapshot.now, {model.name: model.rate for model in snapshot.models}
