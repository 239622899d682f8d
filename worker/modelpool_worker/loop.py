"""The worker's main loop: claim, compute, deliver, until told to end.

Three places of work: this event loop for Redis, the engine thread that computes, the loader thread that reads models;
a fourth thread encodes and decodes files. The engine never waits for Redis, an encoder or the store.
"""

from __future__ import annotations

import asyncio
import logging

from modelpool.documents import RunningBatch
from modelpool.errors import DeviceFailed, EngineError, QueueUnavailable
from modelpool.queue.port import Batch, ClaimedJob
from modelpool.work import megapixel_steps_run, steps_run
from modelpool_worker.batching import Profile
from modelpool_worker.claimer import Claimer
from modelpool_worker.claiming import near_end
from modelpool_worker.computing import Pass
from modelpool_worker.engines.protocol import Outcome
from modelpool_worker.patience import delay_after
from modelpool_worker.progress import Announcer
from modelpool_worker.running import Run
from modelpool_worker.staging import Parts, Staged, fetch_inputs

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
"""How often an idle worker looks though no bell rang: a bell is only a hint."""
CLAIM_ENDS_SECONDS = 5.0
"""How long the end of a worker waits for a claim that is on its way."""
BEHIND = 2
"""Passes that may be on their way to the store while the engine works on."""


class Loop:
    """Claims while the engine is idle or nearly so, computes one batch at a time, delivers behind."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._claimer = Claimer(parts.queue, parts.keeper, parts.slot, parts.clock)
        self._bell = asyncio.Event()
        self._room = asyncio.Event()
        """The engine can use another batch now, or will in a moment."""
        self._room.set()
        self._between_claims = asyncio.Event()
        """No claim is on its way to Redis."""
        self._between_claims.set()
        self._linger = 0.0
        self._staged: asyncio.Queue[Staged] = asyncio.Queue(maxsize=1)
        self._behind = asyncio.Semaphore(BEHIND)
        self._runs: dict[Run, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def runs(self) -> tuple[Run, ...]:
        """Batches that have been claimed and not yet been settled."""
        return tuple(self._runs)

    # --- claiming -------------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Look for work now."""
        self._bell.set()

    async def listen(self) -> None:
        """Hear the queue's bells for ever."""
        async for about in self._parts.queue.wakeups("workers"):
            if not about or about in self._parts.keeper.serving:
                model = self._parts.keeper.catalog.model(about)
                self._linger = max(self._linger, model.batch.linger_milliseconds / 1000 if model else 0.0)
                self.wake()

    async def claim(self) -> None:
        """Claim for ever; nothing more once the slot drains."""
        failures = 0
        while True:
            await self._room.wait()
            self._bell.clear()
            self._between_claims.clear()
            try:
                batch = await self._claimer.claim()
                if batch is not None and self._draining():
                    await Run(batch, self._parts.queue, self._parts.clock).release()
                    continue
                failures = 0
            except QueueUnavailable as error:
                failures += 1
                log.warning("queue unavailable", extra={"reason": error.message, "failures": failures})
            finally:
                self._between_claims.set()
            if failures:
                await self._parts.clock.sleep(delay_after(failures))
            elif batch is None:
                await self._until_rung()
            else:
                self._room.clear()
                self._staged.put_nowait(self._stage(batch))

    def _make_room(self) -> None:
        if self._staged.empty() and not self._draining():
            self._room.set()

    def _close(self) -> None:
        self._parts.slot.draining = True
        self._room.clear()

    def _draining(self) -> bool:
        return self._parts.slot.draining

    async def _until_rung(self) -> None:
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await self._bell.wait()
        except TimeoutError:
            return
        linger, self._linger = self._linger, 0.0
        if linger and not self._runs:
            await self._parts.clock.sleep(linger)

    def _stage(self, batch: Batch) -> Staged:
        parts = self._parts
        run = Run(batch, parts.queue, parts.clock)
        held = parts.keeper.pin(batch.model)
        announcer = Announcer(run, parts.queue, parts.clock, lambda step, steps: self._stepped(run, step, steps))
        self._runs[run] = asyncio.create_task(self._accompany(run, announcer))
        for job in batch.jobs:
            waited = (batch.claimed_at - job.enqueued_at) / 1000
            parts.metrics.queue_wait.labels(parts.pool, batch.model, job.lane.value).observe(max(0.0, waited))
        return Staged(run, held, announcer, asyncio.create_task(fetch_inputs(run, parts.delivery)))

    async def _accompany(self, run: Run, announcer: Announcer) -> None:
        tasks = [asyncio.create_task(run.keep_lease()), asyncio.create_task(announcer.run())]
        try:
            await run.settled.wait()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            del self._runs[run]

    # --- computing ------------------------------------------------------------------------------------------------

    async def compute(self) -> None:
        """Compute what is staged, for ever.

        :raises DeviceFailed: the device cannot be used any more.
        """
        while True:
            staged = await self._staged.get()
            try:
                await self._compute(staged)
            finally:
                self._parts.keeper.unpin(staged.run.batch.model)
                self._parts.slot.batch = None
                self._parts.activity.set("generate", on=False)
                self._parts.pulse.changed()
                self._make_room()

    async def _compute(self, staged: Staged) -> None:
        parts, run = self._parts, staged.run
        inputs = await staged.inputs
        if not run.members:
            return
        parts.slot.moved()
        parts.slot.batch = RunningBatch(
            model=run.batch.model,
            size=len(run.members),
            since=parts.clock.now_ms(),
            steps=steps_run(run.batch.jobs[0].request),
        )
        parts.activity.set("generate", on=True)
        parts.pulse.changed()
        model = staged.held.model
        sizes = parts.slot.sizes(model.name, model.batch.max)
        try:
            async for done in parts.computer.passes(run, staged.held.resident, inputs, sizes, staged.announcer):
                self._note(done)
                await self._behind.acquire()
                self._keep(asyncio.create_task(self._deliver(staged, done)))
        except DeviceFailed as error:
            self._close()
            parts.slot.failed(error, run.batch.model)
            # As a dead worker: members in company are tried alone, a lone one has used up an attempt.
            await run.fail_all(error)
            raise
        except Exception as error:
            # One job must not fell slot after slot: what ends a worker counts no attempt.
            log.exception("batch failed", extra={"model": run.batch.model, "error": type(error).__name__})
            await run.fail_all(EngineError(f"the worker failed: {type(error).__name__}"))

    def _stepped(self, run: Run, step: int, steps: int) -> None:
        batch = self._parts.slot.batch
        if batch is None:
            return
        self._parts.slot.batch = batch.model_copy(update={"step": step, "steps": steps})
        if near_end(step, steps, (self._parts.clock.now_ms() - batch.since) / 1000):
            self._make_room()

    def _note(self, done: Pass) -> None:
        first, size, parts = done.jobs[0].request, len(done.jobs), self._parts
        most = parts.keeper.catalog.model(first.model)
        profile = Profile.of(first)
        parts.slot.sizes(first.model, most.batch.max if most else size).ran(profile, size, done.seconds)
        parts.slot.ran(first.model, done.seconds, sum(megapixel_steps_run(job.request) for job in done.jobs))
        parts.metrics.batch_size.labels(parts.pool, first.model).observe(size)
        parts.metrics.step_seconds.labels(parts.pool, first.model).observe(done.seconds / profile.steps)
        log.info(
            "batch computed",
            extra={"model": first.model, "size": size, "seconds": round(done.seconds, 4), "steps": profile.steps},
        )

    # --- delivering -----------------------------------------------------------------------------------------------

    async def _deliver(self, staged: Staged, done: Pass) -> None:
        members = zip(done.jobs, done.outcomes, strict=True)
        try:
            await asyncio.gather(*(self._settle(staged, done, job, outcome) for job, outcome in members))
        finally:
            self._behind.release()

    async def _settle(self, staged: Staged, done: Pass, job: ClaimedJob, outcome: Outcome) -> None:
        """Whatever goes wrong, the job leaves the batch: one that stayed would keep its lease for ever."""
        run = staged.run
        try:
            if isinstance(outcome, EngineError):
                await run.fail(job, outcome)
            elif await self._parts.delivery.deliver(run, staged.held, job, outcome, done):
                self._parts.slot.ledger.delivered()
        except Exception as error:
            log.exception("delivery failed", extra={"job": job.id, "error": type(error).__name__})
            await run.fail(job, EngineError("the result could not be delivered"))

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("delivery ended", exc_info=error)

    # --- ending ---------------------------------------------------------------------------------------------------

    async def drain(self, grace_seconds: float) -> None:
        """Claim nothing more, give back what has not begun, let the rest end within the grace period."""
        await self.stop_claiming()
        while not self._staged.empty():
            staged = self._staged.get_nowait()
            staged.inputs.cancel()
            await staged.run.release()
            self._parts.keeper.unpin(staged.run.batch.model)
        try:
            async with asyncio.timeout(grace_seconds):
                while self._runs:
                    await asyncio.wait(self._runs.values())
        except TimeoutError:
            log.warning("grace period over", extra={"runs": len(self._runs)})
            await self.give_back()

    async def stop_claiming(self) -> None:
        """No batch is claimed any more when this returns, and none is left that nobody knows of."""
        self._close()
        self._parts.pulse.changed()
        try:
            async with asyncio.timeout(CLAIM_ENDS_SECONDS):
                await self._between_claims.wait()
                await self._claimer.give_up()
        except (TimeoutError, QueueUnavailable):
            log.warning("a claim got no answer; what it has brought waits for its lease to lapse")

    async def give_back(self) -> None:
        """Release everything that is left; no attempt is counted."""
        for run in list(self._runs):
            run.abandon()
            await run.release()
        while self._runs:
            await asyncio.wait(self._runs.values())
