"""What a worker knows of its slot beside what it holds: the batch, its figures, its last failure, its liveness."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from modelpool.documents import Heartbeat, MeasuredModel, RunningBatch, SlotFailure
from modelpool.errors import EngineError
from modelpool_worker.batching import BatchSizes
from modelpool_worker.clock import Clock
from modelpool_worker.engines.protocol import Engine
from modelpool_worker.ledger import Ledger
from modelpool_worker.measuring import Running
from modelpool_worker.residency.keeper import Keeper

STALLED_SECONDS = 120.0
"""A busy engine that has made no step for so long hangs."""
LOOP_STALLED_SECONDS = 60.0
"""An event loop that has not turned for so long hangs; imports and loads may hold it for seconds."""


class Slot:
    """One slot's facts. Written by the event loop, except :meth:`moved`; read by probes from their own thread."""

    def __init__(self, name: str, engine: Engine, clock: Clock) -> None:
        self.name = name
        self.worker = f"{name}-{uuid.uuid4().hex[:8]}"
        """Of this process: a restarted worker is another one."""
        self.mixes = engine.mixes
        """Whether jobs of different parameters may share a batch here."""
        self.http = ""
        self.draining = False
        self.batch: RunningBatch | None = None
        self.error: SlotFailure | None = None
        self.keeper: Keeper | None = None
        self.ledger = Ledger(clock.monotonic)
        self._engine = engine
        self._clock = clock
        self._started_ms = clock.now_ms()
        self._moved_at = clock.monotonic()
        self._moved_ms = self._started_ms
        self._turned_at = clock.monotonic()
        self._sizes: dict[str, BatchSizes] = {}
        self._paces: dict[str, Running] = {}

    def sizes(self, model: str, most: int) -> BatchSizes:
        """What is known about this model's batch sizes; ``most`` is the spec's."""
        sizes = self._sizes.setdefault(model, BatchSizes(most))
        sizes.set_most(most)
        return sizes

    def ran(self, model: str, seconds: float, megapixel_steps: float) -> None:
        """A batch took so long for so much."""
        self._paces.setdefault(model, Running()).add(seconds / megapixel_steps)

    def moved(self) -> None:
        """The engine has got on. Any thread may call this."""
        self._moved_at, self._moved_ms = self._clock.monotonic(), self._clock.now_ms()

    def failed(self, error: EngineError, model: str | None) -> None:
        """Something went wrong in the slot itself."""
        self.error = SlotFailure(code=error.code, message=error.message, at=self._clock.now_ms(), model=model)

    def snapshot(self) -> Heartbeat:
        """The heartbeat as it is now; taking it shows that the event loop turns."""
        self._turned_at = self._clock.monotonic()
        keeper = self._keeper()
        reached = keeper.reached
        return Heartbeat(
            slot=self.name,
            worker=self.worker,
            pid=os.getpid(),
            uuid=self._engine.device.uuid,
            device=self._engine.device.kind,
            engine=self._engine.version,
            epoch=reached.epoch if reached else 0,
            version=reached.version if reached else 0,
            hot=keeper.hot,
            warm=keeper.warm,
            revisions=keeper.revisions,
            loading=keeper.loading,
            measured={model: self._measured(model) for model in sorted(keeper.known() | set(self._paces))},
            batch=self.batch,
            failed=dict(keeper.failed),
            error=self.error,
            draining=self.draining,
            http=self.http,
            rss_bytes=resident_bytes(),
            vram_used_bytes=self._engine.device_memory_used(),
            spent=self.ledger.spent(),
            started_at=self._started_ms,
            at=self._clock.now_ms(),
            progress_at=self._moved_ms if self.batch else self._clock.now_ms(),
        )

    def unhealthy(self) -> str | None:
        """Why this process should be restarted, or None."""
        now = self._clock.monotonic()
        if self.batch is not None and now - self._moved_at > STALLED_SECONDS:
            return f"the engine has made no step for {now - self._moved_at:.0f} s"
        if now - self._turned_at > LOOP_STALLED_SECONDS:
            return f"the event loop has not turned for {now - self._turned_at:.0f} s"
        return None

    def unready(self) -> str | None:
        """Why the slot is not what it shall be, or None."""
        if self.draining:
            return "draining"
        return None if self._keeper().settled else "the assignment has not been reached"

    def _measured(self, model: str) -> MeasuredModel:
        pace, sizes = self._paces.get(model), self._sizes.get(model)
        return (
            self._keeper()
            .measured(model)
            .model_copy(
                update={
                    "seconds_per_megapixel_step": pace.stat() if pace else None,
                    "batch_cap": sizes.measured_cap if sizes else None,
                }
            )
        )

    def _keeper(self) -> Keeper:
        if self.keeper is None:
            raise RuntimeError("the slot has no keeper yet")
        return self.keeper


def resident_bytes() -> int:
    """Resident memory of this process; 0 where the kernel does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
