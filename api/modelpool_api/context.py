"""What one API process works with: built once, handed to every route."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client import CollectorRegistry, ProcessCollector

from modelpool.metrics import ApiMetrics
from modelpool.queue.connection import connect
from modelpool.store.open import open_store
from modelpool.store.port import Store
from modelpool_api.identity.static import StaticSubjectResolver, read_api_keys
from modelpool_api.identity.subject import SubjectResolver
from modelpool_api.inputs import Inputs
from modelpool_api.pools import Connect, Pools
from modelpool_api.settings import Settings

CONNECTIONS = 96
"""To Redis: one per pool listens, the others are shared by requests."""


def unix_ms() -> int:
    """The clock."""
    return time.time_ns() // 1_000_000


def random_token() -> str:
    """128 random bits, URL-safe."""
    return secrets.token_urlsafe(16)


def random_seed() -> int:
    """A seed that every JSON reader keeps exact."""
    return secrets.randbelow(2**32)


@dataclass(frozen=True, slots=True)
class Context:
    """The process context. Time and randomness come from here and nowhere else."""

    settings: Settings
    store: Store
    pools: Pools
    inputs: Inputs
    resolver: SubjectResolver
    metrics: ApiMetrics
    registry: CollectorRegistry
    now_ms: Callable[[], int] = unix_ms
    new_token: Callable[[], str] = random_token
    draw_seed: Callable[[], int] = random_seed
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the process shall end: whoever waits is sent home."""


def open_context(settings: Settings, connect_redis: Connect | None = None) -> Context:
    """The context for ``settings``. Opens the store and reads the keys; Redis is reached later, and may be away.

    :raises InvalidInput: a setting that cannot work.
    """
    keys = read_api_keys(Path(settings.api_keys_file)) if settings.api_keys_file else ()
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    store = open_store(settings.store_url)
    pools = Pools(
        connect_redis or (lambda: connect(settings.redis_url, max_connections=CONNECTIONS)),
        unix_ms,
        reread_seconds=settings.reread_seconds,
    )
    return Context(
        settings=settings,
        store=store,
        pools=pools,
        inputs=Inputs(store, pools, settings.max_input_pixels),
        resolver=StaticSubjectResolver(keys, settings.subject_secret),
        metrics=ApiMetrics(registry),
        registry=registry,
    )
