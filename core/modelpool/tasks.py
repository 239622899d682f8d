"""Ending asyncio tasks for sure."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

log = logging.getLogger(__name__)

_PATIENCE = 0.2


async def end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel ``tasks`` until all have ended.

    Once is not enough: up to Python 3.11 ``asyncio.wait_for``, which redis-py is built on, loses a cancellation that
    arrives together with its result, and the task runs on as if nothing had been said.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_PATIENCE)
    for task in tasks:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("%s ended with %s: %s", task.get_name(), type(error).__name__, error)
