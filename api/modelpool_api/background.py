"""What the process does beside answering: refresh, reap, sweep."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from modelpool.queue.witness import refunds_key
from modelpool.store.sweep import sweep_alone
from modelpool.tasks import end
from modelpool_api.context import Context
from modelpool_api.counting import announce
from modelpool_api.outcomes import Outcomes
from modelpool_api.repeating import repeat

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

log = logging.getLogger(__name__)


async def reap(context: Context) -> None:
    """Re-queue what lapsed leases held and expire what is overdue, in every pool."""
    for pool in context.pools.all():
        moved = await pool.queue.reap()
        if moved:
            log.info("pool %s: %d jobs re-queued or expired", pool.ref, moved)


async def give_back(context: Context) -> None:
    """Return the units of jobs that ended unhappily, and of requests that no job came of."""
    for pool in context.pools.all():
        context.metrics.refunds.labels("ended").inc(await context.ledger.refund(refunds_key(pool.ref)))
    context.metrics.refunds.labels("lapsed").inc(await context.ledger.lapse())


async def sweep(context: Context) -> None:
    """Remove old results and inputs, unless another process is at it."""
    removed = await sweep_alone(await context.pools.client(), context.store, context.now_ms())
    if removed:
        log.info("%d results and inputs removed after their life", removed)


async def send_home(context: Context) -> None:
    """Once the process shall end, whoever waits gets an answer now: open connections would hold it."""
    await context.closing.wait()
    for pool in context.pools.all():
        pool.waiting.close()


@asynccontextmanager
async def running(context: Context, outcomes: Outcomes) -> AsyncIterator[None]:
    """All background work while the block runs."""
    settings = context.settings
    context.pools.on_refresh = lambda pool: announce(context, pool)
    context.pools.on_final = outcomes.ended
    work = {
        "reading pools": repeat("reading pools", settings.refresh_seconds, context.pools.refresh),
        "reaping": repeat("reaping", settings.reap_seconds, lambda: reap(context)),
        "giving back": repeat("giving units back", settings.refund_seconds, lambda: give_back(context)),
        "sweeping": repeat("sweeping the store", settings.sweep_seconds, lambda: sweep(context)),
        "outcomes": outcomes.run(),
        "sending home": send_home(context),
    }
    tasks = [asyncio.create_task(coroutine, name=name) for name, coroutine in work.items()]
    try:
        yield
    finally:
        context.closing.set()
        await end(*tasks)
        await context.pools.close()
        if context.recorder is not None:
            context.recorder.close()
