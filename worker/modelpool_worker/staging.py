"""What the main loop works with, and a claimed batch on its way to the engine."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from PIL.Image import Image

from modelpool.errors import EngineError, ModelpoolError
from modelpool.metrics import WorkerMetrics
from modelpool.queue.port import Queue
from modelpool_worker.activity import Activity
from modelpool_worker.clock import Clock
from modelpool_worker.computing import Computer
from modelpool_worker.delivery import Delivery
from modelpool_worker.heartbeat import Pulse
from modelpool_worker.progress import Announcer
from modelpool_worker.residency.held import Held
from modelpool_worker.residency.keeper import Keeper
from modelpool_worker.running import Run
from modelpool_worker.slot import Slot

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """What the loop works with."""

    pool: str
    queue: Queue
    keeper: Keeper
    computer: Computer
    delivery: Delivery
    slot: Slot
    pulse: Pulse
    metrics: WorkerMetrics
    activity: Activity
    clock: Clock


@dataclass(frozen=True, slots=True)
class Staged:
    """A claimed batch on its way to the engine. Its model is pinned."""

    run: Run
    held: Held
    announcer: Announcer
    inputs: asyncio.Task[dict[str, Image | None]]


async def fetch_inputs(run: Run, delivery: Delivery) -> dict[str, Image | None]:
    """Input images by job; a job whose image cannot be had fails here and is left out."""
    inputs: dict[str, Image | None] = {}
    for job in run.members:
        try:
            inputs[job.id] = await delivery.input_of(job.request)
        except ModelpoolError as error:
            await run.fail(job, error)
        except Exception as error:
            log.exception("input image not fetched", extra={"job": job.id, "error": type(error).__name__})
            await run.fail(job, EngineError("the input image could not be fetched"))
    return inputs
