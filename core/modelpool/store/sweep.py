"""Removing what has lived long enough. Any process may try; the lock in Redis lets one do it at a time."""

from __future__ import annotations

import secrets

from redis.asyncio import Redis

from modelpool.store.port import Store

HOUR_MS = 3_600_000
RESULT_LIFE_MS = 24 * HOUR_MS
"""How long a result can be fetched; what the API's cache headers count down from."""
INPUT_LIFE_MS = 26 * HOUR_MS
"""Longer than a result, so that an input outlives every job that was enqueued with it."""
LOCK_KEY = "mpl:sweep"
LOCK_MS = 600_000

_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


async def sweep(store: Store, now_ms: int) -> int:
    """Delete results and inputs past their life; returns how many. Deleting twice is harmless.

    A store that expires is left to itself.
    """
    if store.expires:
        return 0
    removed = 0
    for folder, life in (("results", RESULT_LIFE_MS), ("inputs", INPUT_LIFE_MS)):
        async for found in store.list(folder):
            if found.modified_at <= now_ms - life:
                await store.delete(found.key)
                removed += 1
    return removed


async def sweep_alone(client: Redis, store: Store, now_ms: int) -> int | None:
    """Sweep unless somebody else does so now, which gives None.

    The lock expires by itself: a sweeper that died or takes longer blocks nobody for more than ten minutes.
    """
    token = secrets.token_hex(16)
    if not await client.set(LOCK_KEY, token, nx=True, px=LOCK_MS):
        return None
    try:
        return await sweep(store, now_ms)
    finally:
        await client.eval(_RELEASE, 1, LOCK_KEY, token)
