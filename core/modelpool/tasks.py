"""Ending asyncio tasks."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

log = logging.getLogger(__name__)


async def end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel ``tasks`` and wait until all have ended. An error that one ended with is told, not raised."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for task in tasks:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("%s ended with %s: %s", task.get_name(), type(error).__name__, error)
