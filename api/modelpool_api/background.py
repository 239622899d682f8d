"""What the process does beside answering: refresh, reap, sweep. An outage is logged once, and so is its end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from modelpool.errors import ModelpoolError
from modelpool.store.sweep import sweep_alone
from modelpool.tasks import end
from modelpool_api.admission import announce
from modelpool_api.context import Context
from modelpool_api.outcomes import Outcomes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

log = logging.getLogger(__name__)


async def repeat(name: str, seconds: float, action: Callable[[], Awaitable[object]]) -> None:
    """Run ``action`` now and every ``seconds``, for ever; a failure never ends it."""
    failing = False
    while True:
        try:
            await action()
        except ModelpoolError as error:
            if not failing:
                log.warning("%s: %s", name, error)
            failing = True
        except Exception:
            if not failing:
                log.exception("%s failed", name)
            failing = True
        else:
            if failing:
                log.info("%s: works again", name)
            failing = False
        await asyncio.sleep(seconds)


async def reap(context: Context) -> None:
    """Re-queue what lapsed leases held and expire what is overdue, in every pool."""
    for pool in context.pools.all():
        moved = await pool.queue.reap()
        if moved:
            log.info("pool %s: %d jobs re-queued or expired", pool.ref, moved)


async def sweep(context: Context) -> None:
    """Remove old results and inputs, unless another process is at it."""
    removed = await sweep_alone(await context.pools.client(), context.store, context.now_ms())
    if removed:
        log.info("%d results and inputs removed after their life", removed)


@asynccontextmanager
async def running(context: Context, outcomes: Outcomes) -> AsyncIterator[None]:
    """All background work while the block runs."""
    settings = context.settings
    context.pools.on_refresh = lambda pool: announce(context, pool)
    context.pools.on_final = outcomes.ended
    work = {
        "reading pools": repeat("reading pools", settings.refresh_seconds, context.pools.refresh),
        "reaping": repeat("reaping", settings.reap_seconds, lambda: reap(context)),
        "sweeping": repeat("sweeping the store", settings.sweep_seconds, lambda: sweep(context)),
        "outcomes": outcomes.run(),
    }
    tasks = [asyncio.create_task(coroutine, name=name) for name, coroutine in work.items()]
    try:
        yield
    finally:
        context.closing.set()
        await end(*tasks)
        await context.pools.close()
