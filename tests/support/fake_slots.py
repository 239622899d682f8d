"""A runtime and workers without processes or models: they load in given times and finish jobs that say nothing."""

import asyncio
from contextlib import suppress

from modelpool.board import Board
from modelpool.documents import Heartbeat, Loading, MeasuredModel, RunningBatch, SlotFailure, Stat
from modelpool.queue.port import HotModel, Queue
from modelpool.slots import DesiredSlots, ObservedSlot, ObservedSlots, SlotPhase
from modelpool_operator.runtimes.port import RuntimeUnavailable
from support.queues import new_result

TICK_SECONDS = 0.01


class FakeRuntime:
    """Says that every desired slot has a worker; `away` makes it unreachable, `phases` tells other tales."""

    def __init__(self) -> None:
        self.desired: DesiredSlots | None = None
        self.calls = 0
        self.away = False
        self.phases: dict[str, tuple[SlotPhase, str]] = {}

    async def apply(self, desired: DesiredSlots) -> ObservedSlots:
        self.calls += 1
        if self.away:
            raise RuntimeUnavailable("the supervisor is on holiday")
        self.desired = desired
        slots = []
        for slot in desired.slots:
            phase, reason = self.phases.get(slot.slot, (SlotPhase.READY, ""))
            slots.append(ObservedSlot(slot=slot.slot, tier=slot.tier, phase=phase, reason=reason))
        return ObservedSlots(pool=desired.pool, slots=tuple(slots))

    async def close(self) -> None:
        pass


class FakeWorker:
    """Converges to its assignment as a worker does: finishes its batch, unloads, loads one model after the other."""

    def __init__(
        self,
        slot: str,
        board: Board,
        queue: Queue,
        *,
        load_seconds: float = 0.05,
        job_seconds: float = 0.01,
        broken: frozenset[str] = frozenset(),
    ) -> None:
        self.slot = slot
        self.loads: list[str] = []
        self.served: list[str] = []
        self.broken = broken
        self._board = board
        self._queue = queue
        self._load_seconds = load_seconds
        self._job_seconds = job_seconds
        load = Stat(mean=load_seconds)
        self._measured = MeasuredModel(cold_to_hot_seconds=load, warm_to_hot_seconds=load)
        self.hot: tuple[str, ...] = ()
        self._loading: Loading | None = None
        self._batch: RunningBatch | None = None
        self._failed: dict[str, SlotFailure] = {}
        self._version = 0
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "FakeWorker":
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.die()

    async def die(self) -> None:
        """End at once; the heartbeat goes, as after its time."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None
            await self._board.farewell(self.slot)

    async def beat(self) -> None:
        await self._board.beat(
            Heartbeat(
                slot=self.slot,
                worker=f"{self.slot}-fake",
                pid=1,
                version=self._version,
                hot=self.hot,
                loading=self._loading,
                batch=self._batch,
                failed=self._failed,
                measured=dict.fromkeys({*self.hot, *self.loads}, self._measured),
            )
        )

    async def _run(self) -> None:
        await self.beat()
        while True:
            assignment = await self._board.assignment(self.slot)
            if assignment is not None:
                if assignment.version != self._version:
                    self._version, self._failed = assignment.version, {}
                await self._converge(assignment.hot)
                await self._work(assignment.hot)
            await self.beat()
            await asyncio.sleep(TICK_SECONDS)

    async def _converge(self, wanted: tuple[str, ...]) -> None:
        self.hot = tuple(model for model in self.hot if model in wanted)
        missing = [model for model in wanted if model not in self.hot and model not in self._failed]
        if not missing:
            return
        model = missing[0]
        self._loading = Loading(model=model, since=0)
        await self.beat()
        await asyncio.sleep(self._load_seconds)
        self._loading = None
        if model in self.broken:
            self._failed = {
                **self._failed,
                model: SlotFailure(
                    code="model_load_failed", message="no such folder", at=len(self.loads) + 1, model=model
                ),
            }
        else:
            self.hot = (*self.hot, model)
        self.loads.append(model)
        await self.beat()

    async def _work(self, wanted: tuple[str, ...]) -> None:
        serving = [HotModel(model, cap=4) for model in self.hot if model in wanted]
        batch = await self._queue.claim(self.slot, self.slot, serving) if serving else None
        if batch is None:
            return
        self._batch = RunningBatch(model=batch.model, size=len(batch.jobs), since=0)
        await self.beat()
        await asyncio.sleep(self._job_seconds)
        for job in batch.jobs:
            await self._queue.finish(batch.lease, job.id, new_result(batch.model))
            self.served.append(batch.model)
        self._batch = None
        await self.beat()
