"""Doing something again and again, whatever happens. An outage is logged once, and so is its end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from modelpool.errors import ModelpoolError

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
