"""Keeps one reconciler for each pool that is there, and clears up after those that are gone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from pydantic import ValidationError

from modelpool.errors import InvalidSpec, StaleEpoch
from modelpool.resources.pool import PoolRef
from modelpool.resources.status import ModelPoolStatus
from modelpool_operator.logs import POOL
from modelpool_operator.sources.resource import PoolResource
from modelpool_operator.status import status_without_sight
from modelpool_operator.tellers import Teller

log = logging.getLogger(__name__)

RESTART_SECONDS = 5.0
"""After an error that nobody foresaw: one pool's trouble is not that of the others."""

Document = Mapping[str, Any]


class KeptReconciler(Protocol):
    """What is kept running for a pool."""

    async def run(self) -> None:
        """For ever."""
        ...

    def wake(self) -> None:
        """Look now."""
        ...

    def unhealthy(self) -> str | None:
        """Why the process should be restarted, or None."""
        ...


class RunningTeller(Teller, Protocol):
    """A teller that writes while it runs."""

    async def run(self) -> None:
        """For ever."""
        ...


class Making(Protocol):
    """How a pool's parts are made, and what is left of it is cleared up."""

    def teller(self, pool: PoolRef, uid: str) -> RunningTeller:
        """Who is told of the pool."""
        ...

    def reconciler(self, source: PoolResource, teller: Teller) -> KeptReconciler:
        """What keeps it."""
        ...

    async def forget(self, pool: PoolRef) -> None:
        """Take away what is left in Redis of a pool that is gone. Tries until it is done."""
        ...


class _Kept:
    """One pool that is kept."""

    def __init__(self, uid: str, task: asyncio.Task[None]) -> None:
        self.uid = uid
        self.task = task
        self.reconciler: KeptReconciler | None = None
        self.news = asyncio.Event()


class Keeper:
    """``look`` gives the pools that are there now; :meth:`notice` says that it is worth looking."""

    def __init__(self, look: Callable[[], Mapping[PoolRef, Document]], making: Making, now: Callable[[], int]) -> None:
        self._look = look
        self._making = making
        self._now = now
        self._kept: dict[PoolRef, _Kept] = {}
        self._news = asyncio.Event()

    def notice(self, pool: PoolRef) -> None:
        """Something has happened to a pool, or to what belongs to it."""
        kept = self._kept.get(pool)
        document = self._look().get(pool)
        if kept is None or document is None or document["metadata"]["uid"] != kept.uid:
            self._news.set()
            return
        kept.news.set()
        if kept.reconciler is not None:
            kept.reconciler.wake()

    def unhealthy(self) -> str | None:
        """Why this process should be restarted, or None."""
        for pool, kept in self._kept.items():
            why = kept.reconciler.unhealthy() if kept.reconciler is not None else None
            if why is not None:
                return f"{pool}: {why}"
        return None

    async def run(self) -> None:
        """For ever.

        :raises StaleEpoch: within an exception group, when a newer operator is in charge of a pool.
        """
        async with asyncio.TaskGroup() as group:
            while True:
                self._news.clear()
                await self._compare(group)
                await self._news.wait()

    async def _compare(self, group: asyncio.TaskGroup) -> None:
        there = self._look()
        for pool, kept in list(self._kept.items()):
            if pool not in there or there[pool]["metadata"]["uid"] != kept.uid:
                kept.task.cancel()
                # Not awaited itself: whoever stops us meanwhile would seem to be its end.
                await asyncio.wait((kept.task,))
                del self._kept[pool]
                log.info("the pool is gone", extra={"pool": str(pool)})
                forget = self._making.forget(pool)
                # A successor of the same name must not find, and not lose, what was its predecessor's.
                if pool in there:
                    await forget
                else:
                    group.create_task(_awaited(forget))
        for pool, document in there.items():
            if pool not in self._kept:
                uid = str(document["metadata"]["uid"])
                task = group.create_task(self._keep(pool, uid), name=str(pool))
                self._kept[pool] = _Kept(uid, task)

    async def _keep(self, pool: PoolRef, uid: str) -> None:
        POOL.set(str(pool))
        teller = self._making.teller(pool, uid)
        async with asyncio.TaskGroup() as group:
            group.create_task(teller.run())
            while True:
                await self._keep_once(pool, teller)

    async def _keep_once(self, pool: PoolRef, teller: Teller) -> None:
        kept, document = self._kept[pool], self._look().get(pool)
        if document is None:
            await kept.news.wait()  # it is being taken away, and we with it
            return
        try:
            source = PoolResource(document, lambda: self._look().get(pool))
        except InvalidSpec as error:
            await self._refuse(pool, document, error, teller)
            return
        kept.reconciler = self._making.reconciler(source, teller)
        try:
            await kept.reconciler.run()
        except BaseExceptionGroup as group:
            if group.subgroup((StaleEpoch, asyncio.CancelledError)) is not None:
                raise
            log.exception("the pool's reconciler has failed and starts anew")
        except StaleEpoch:
            raise
        except Exception:
            log.exception("the pool's reconciler has failed and starts anew")
        finally:
            kept.reconciler = None
        await asyncio.sleep(RESTART_SECONDS)

    async def _refuse(self, pool: PoolRef, document: Document, error: InvalidSpec, teller: Teller) -> None:
        """Say what is wrong and wait for a change; workers that run go on running."""
        kept = self._kept[pool]
        log.error("the pool cannot work", extra={"reason": error.message})
        metadata, told = document["metadata"], document.get("status") or {}
        generation = int(metadata.get("generation", 1))
        sentence = f"The pool cannot work: {error.message}"
        epoch = int(told.get("epoch", 0))
        teller.tell(status_without_sight(_read_status(told), generation, epoch, self._now(), "InvalidSpec", sentence))
        while (found := self._look().get(pool)) is None or found["metadata"].get("generation") == generation:
            kept.news.clear()
            await kept.news.wait()


def _read_status(told: Document) -> ModelPoolStatus | None:
    """What was said of the slots, which serve on; None where somebody has made it unreadable."""
    try:
        return ModelPoolStatus.model_validate(told)
    except ValidationError:
        return None


async def _awaited(what: Awaitable[None]) -> None:
    await what
