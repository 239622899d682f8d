"""Counting what became of requests, by pool, model and lane."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from modelpool.jobs import Lane
from modelpool_api.context import Context
from modelpool_api.pools import Pool
from modelpool_api.quota.refusals import AllowanceUsedUp, TooFast

OUTCOMES = ("queued", "cached", "joined", "shed", "refused")


def announce(context: Context, pool: Pool) -> None:
    """Let every catalog model's counters start at 0: a first request is an increase only from something."""
    for model in pool.snapshot.catalog.models:
        for lane in Lane:
            for outcome in OUTCOMES:
                context.metrics.requests.labels(str(pool.ref), model.name, lane.value, outcome)
        depth = pool.snapshot.depths.get(model.name)
        for lane in Lane:
            waiting = depth.by_lane.get(lane, 0) if depth is not None else 0
            context.metrics.queue_depth.labels(str(pool.ref), model.name, lane.value).set(waiting)


def count(context: Context, pool: Pool, model: str, lane: Lane, outcome: str) -> None:
    """One request for ``model``."""
    context.metrics.requests.labels(str(pool.ref), model, lane.value, outcome).inc()


@contextmanager
def refusals(context: Context, lane: Lane) -> Iterator[None]:
    """Count which ceiling says no within the block."""
    try:
        yield
    except AllowanceUsedUp as refusal:
        context.metrics.quota_refusals.labels(lane.value, refusal.balance.ceiling).inc()
        raise
    except TooFast:
        context.metrics.quota_refusals.labels(lane.value, "burst").inc()
        raise
