"""Runs a batch on the engine thread, in parts that fit the device's memory, halved when it runs out."""

from __future__ import annotations

import asyncio
import functools
import logging
import traceback
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass

from PIL.Image import Image

from modelpool.errors import DeviceFailed, EngineError, ModelpoolError, OutOfMemory
from modelpool.queue.port import ClaimedJob
from modelpool_worker.batching import BatchSizes, Profile
from modelpool_worker.clock import Clock
from modelpool_worker.engines.protocol import Engine, Outcome, Resident, Step, Stopped
from modelpool_worker.progress import Announcer
from modelpool_worker.running import Run
from modelpool_worker.threads import SerialThread

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pass:
    """One forward pass that worked: its members' outcomes and its seconds."""

    jobs: tuple[ClaimedJob, ...]
    outcomes: tuple[Outcome, ...]
    seconds: float


class Computer:
    """The engine thread's orders. ``moved`` is called, in any thread, whenever the engine gets on."""

    def __init__(self, engine: Engine, thread: SerialThread, clock: Clock, moved: Callable[[], None]) -> None:
        self._engine = engine
        self._thread = thread
        self._clock = clock
        self._moved = moved

    async def passes(
        self,
        run: Run,
        resident: Resident,
        inputs: Mapping[str, Image | None],
        sizes: BatchSizes,
        announcer: Announcer,
    ) -> AsyncIterator[Pass]:
        """Run the members that ``inputs`` names; those that the engine cannot do are failed here.

        :raises DeviceFailed: the device cannot be used any more; the members are still in the run.
        """
        chunks = [tuple(job for job in run.members if job.id in inputs)]
        while chunks:
            jobs = tuple(job for job in chunks.pop(0) if run.wants(job))
            if not jobs:
                continue
            profile = Profile.of(jobs[0].request)
            fitting = sizes.fitting(profile)
            if len(jobs) > fitting:
                chunks.insert(0, jobs[fitting:])
                jobs = jobs[:fitting]
            try:
                done = await self._pass(run, resident, jobs, [inputs[job.id] for job in jobs], announcer)
            except Stopped:
                return
            except DeviceFailed:
                raise
            except OutOfMemory as error:
                log.warning("out of memory", extra={"model": run.batch.model, "size": len(jobs)})
                await self._thread.run(self._engine.free_cache)
                if len(jobs) == 1:
                    await run.fail(jobs[0], error)
                else:
                    sizes.ran_out_of_memory(profile, len(jobs))
                    chunks.insert(0, jobs)
            except Exception as error:
                _log_failure(run, error)
                failure = error if isinstance(error, ModelpoolError) else None
                for job in jobs:
                    await run.fail(job, failure or EngineError(f"the engine failed: {type(error).__name__}"))
            else:
                yield done

    async def _pass(
        self,
        run: Run,
        resident: Resident,
        jobs: tuple[ClaimedJob, ...],
        images: Sequence[Image | None],
        announcer: Announcer,
    ) -> Pass:
        loop = asyncio.get_running_loop()
        requests = [job.request for job in jobs]

        def on_step(step: Step) -> None:
            self._moved()
            previews = announcer.collect(step, len(jobs))
            loop.call_soon_threadsafe(functools.partial(announcer.stepped, jobs, step.step, step.steps, previews))

        started = self._clock.monotonic()
        self._moved()
        outcomes = await self._thread.run(lambda: resident.generate(requests, images, on_step, run.should_stop))
        self._moved()
        return Pass(jobs, tuple(outcomes), self._clock.monotonic() - started)


def _log_failure(run: Run, error: Exception) -> None:
    """Where it came from; no message of a library, because diffusers quotes prompts in some."""
    cause = error.__cause__ or error
    trace = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(cause.__traceback__)]
    log.warning(
        "the engine failed", extra={"model": run.batch.model, "error": type(cause).__name__, "trace": trace[-8:]}
    )
