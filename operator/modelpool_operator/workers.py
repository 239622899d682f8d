"""Keeps the runtime told which workers shall exist, and remembers what it answered. Never in the way of a demand miss."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from modelpool.resources.catalog import pool_ref, slots_of
from modelpool.resources.spec import ModelPool
from modelpool.slots import DesiredSlot, DesiredSlots, ObservedSlot, RuntimeProblem
from modelpool_operator.runtimes.port import Runtime, RuntimeUnavailable

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0


def desired_slots(pool: ModelPool, epoch: int) -> DesiredSlots:
    """All workers that a pool shall have."""
    return DesiredSlots(
        pool=str(pool_ref(pool)),
        epoch=epoch,
        slots=tuple(
            DesiredSlot(
                slot=slot.slot,
                tier=slot.tier,
                device=pool.spec.worker.device.value,
                vram_bytes=slot.vram_bytes,
                host_memory_bytes=slot.host_memory_bytes,
            )
            for tier in pool.spec.tiers
            for slot in slots_of(pool, tier)
        ),
    )


class Workers:
    """What the runtime last said of each slot."""

    def __init__(self, runtime: Runtime, look_seconds: float = LOOK_SECONDS) -> None:
        self._runtime = runtime
        self._look_seconds = look_seconds
        self._news = asyncio.Event()
        self._made: tuple[ModelPool, DesiredSlots] | None = None
        self.observed: Mapping[str, ObservedSlot] = {}
        self.trouble: str | None = None
        """Why the runtime could not be reached, while it cannot."""
        self.problems: tuple[RuntimeProblem, ...] = ()
        """What keeps it from what is desired, though it can be reached."""
        self.rollout = ""
        """What the replacing of workers waits for, while it is under way."""
        self.generation = 0
        """The pool's metadata.generation that all of this is about; 0 before the first answer."""

    def changed(self) -> None:
        """Tell the runtime now: the pool has changed."""
        self._news.set()

    async def run(self, epoch: int, pool: Callable[[], ModelPool], notify: Callable[[], None]) -> None:
        """Ask every now and then, for ever; ``notify`` is called when the answer is news."""
        try:
            while True:
                self._news.clear()
                if await self._look(pool(), epoch):
                    notify()
                try:
                    async with asyncio.timeout(self._look_seconds):
                        await self._news.wait()
                except TimeoutError:
                    continue
        finally:
            await self._runtime.close()

    def _desired(self, pool: ModelPool, epoch: int) -> DesiredSlots:
        """Made once for each change of the pool."""
        if self._made is None or self._made[0] is not pool or self._made[1].epoch != epoch:
            self._made = pool, desired_slots(pool, epoch)
        return self._made[1]

    async def _look(self, pool: ModelPool, epoch: int) -> bool:
        before = self._known()
        trouble = self.trouble
        try:
            answer = await self._runtime.apply(self._desired(pool, epoch))
        except RuntimeUnavailable as error:
            self.trouble = error.message
        else:
            self.observed, self.trouble = {slot.slot: slot for slot in answer.slots}, None
            self.problems, self.rollout = answer.problems, answer.rollout
            self.generation = pool.metadata.generation
        if self.trouble != trouble:
            if self.trouble is None:
                log.info("the runtime answers again")
            else:
                log.warning("the runtime is away", extra={"reason": self.trouble})
        return self._known() != before

    def _known(self) -> tuple[object, ...]:
        return self.observed, self.trouble, self.problems, self.rollout, self.generation
