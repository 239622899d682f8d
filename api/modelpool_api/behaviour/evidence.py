"""What has been seen of whoever asks: a few counters in Redis that live an hour or a day, under names of the day."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cache
from importlib.resources import files

from redis.asyncio import Redis
from redis.commands.core import AsyncScript

from modelpool.queue.connection import unavailable
from modelpool.queue.rules import DAY_MS, HOUR_MS
from modelpool_api.behaviour.rules import Evidence
from modelpool_api.identity.days import PREFIX
from modelpool_api.identity.ring import DayKey
from modelpool_api.identity.signals import Signals

_MINUTE_MS = 60_000


@cache
def _source() -> str:
    return (files("modelpool_api.behaviour") / "evidence.lua").read_text("utf-8")


async def observe(
    client: Callable[[], Awaitable[Redis]], today: DayKey, subject: str, signals: Signals, words: str, request: str
) -> Evidence:
    """Count one request for ``words`` and return what has been seen. ``request`` is an id of its own.

    :raises QueueUnavailable: Redis is away.
    """
    who = today.name("seen", subject)
    args: list[str | int] = [2, f"rapid:{who}", _MINUTE_MS, f"same:{today.name('same', subject, words)}", HOUR_MS]
    if signals.fingerprint is not None:
        prefix = signals.origin.prefix
        visitor = today.name("cookie", signals.visitor.id) if signals.visitor is not None else request
        args += [f"device:{today.name('device', signals.fingerprint, prefix)}", visitor, DAY_MS]
        args += [f"spread:{today.name('spread', signals.fingerprint)}", today.name("network", prefix), DAY_MS]
    connected = await client()
    with unavailable():
        found = await AsyncScript(connected, _source())(keys=[PREFIX], args=args)
    return Evidence(*(int(count) for count in found))
