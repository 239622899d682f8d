"""One pool's loop: observe, plan, apply. Level-triggered: each round looks at everything, so that no lost event matters.

When a round comes is :mod:`modelpool_operator.rhythm`'s to say.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import cast

from modelpool.board import Board
from modelpool.documents import newest_engine
from modelpool.errors import QueueUnavailable, StaleEpoch, Unavailable
from modelpool.metrics import OperatorMetrics
from modelpool.queue.port import Queue
from modelpool.resources.catalog import pool_ref, slot_name
from modelpool_operator.account import Account, Trouble
from modelpool_operator.demand.port import Demand, DemandSource
from modelpool_operator.history import History
from modelpool_operator.measures import Measures
from modelpool_operator.notices import Notices
from modelpool_operator.observe import Observation, snapshot_of
from modelpool_operator.planner import Move, Plan, plan
from modelpool_operator.revisions import reload_of, with_turns
from modelpool_operator.rhythm import Rhythm
from modelpool_operator.sources.port import PoolSource
from modelpool_operator.status import status_of, status_without_sight
from modelpool_operator.tellers import NobodyElse, Teller
from modelpool_operator.turns import Turns
from modelpool_operator.workers import Workers

log = logging.getLogger(__name__)

AWAY_SECONDS = 1.0
"""Between attempts while Redis is away."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What the loop works with. ``now`` gives Unix milliseconds."""

    source: PoolSource
    board: Board
    queue: Queue
    demand: DemandSource
    workers: Workers
    metrics: OperatorMetrics
    now: Callable[[], int]
    teller: Teller = field(default_factory=NobodyElse)
    turns: Turns = field(default_factory=Turns)
    """Shared by all pools of a process."""


class Reconciler:
    """Keeps one pool, from :meth:`run` until that is cancelled."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._name = str(pool_ref(parts.source.pool))
        self._notices = Notices(parts.board)
        self._history = History()
        self._epoch = 0
        self._demand = Demand()
        self._demand_trouble: str | None = None
        self._demand_at: int | None = None
        self._settled = False
        """Every slot's assignment has been on record."""
        self._measures = Measures(parts.metrics, self._name)
        self._told: dict[tuple[str, str | None], str] = {}
        self._rhythm = Rhythm()
        self._round_at = parts.now()

    async def run(self) -> None:
        """Take over from whoever was in charge, and keep the pool for ever.

        :raises StaleEpoch: within an exception group, when a newer operator is in charge.
        """
        self._epoch = await self._take_epoch()
        log.info("in charge", extra={"epoch": self._epoch})
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen())
            group.create_task(self._parts.workers.run(self._epoch, lambda: self._parts.source.pool, self._rhythm.wake))
            group.create_task(self._rounds())

    def wake(self) -> None:
        """Something has happened to the pool or its workers: look now."""
        self._rhythm.wake()
        self._parts.workers.changed()

    def unhealthy(self) -> str | None:
        """Why this process should be restarted, or None. That Redis is away is no reason."""
        silent = (self._parts.now() - self._round_at) / 1000
        return f"no round for {silent:.0f} s" if silent > 30 else None

    async def _take_epoch(self) -> int:
        """One more than any before, also than workers remember where Redis has lost the record."""
        while True:
            try:
                beats = await self._parts.board.heartbeats(self._slots())
                known = max((beat.epoch for beat in beats.values()), default=0)
                return await self._parts.board.take_epoch(max(known, self._parts.source.epoch))
            except QueueUnavailable as error:
                log.warning("waiting for Redis", extra={"reason": error.message})
                self._tell_of_outage(error)
                self._round_at = self._parts.now()
                await asyncio.sleep(AWAY_SECONDS)

    # --- when -----------------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        """Hear the queue's bells for ever."""
        bells = cast("AsyncGenerator[str, None]", self._parts.queue.wakeups("operator"))
        async with aclosing(bells) as rings:
            async for about in rings:
                self._rhythm.ring(about)
                if self._rhythm.is_urgent():
                    self._parts.turns.look_again()

    async def _rounds(self) -> None:
        away = False
        while True:
            self._round_at = self._parts.now()
            try:
                delay = await self.round()
                if away:
                    log.info("Redis answers again")
                away = False
            except QueueUnavailable as error:
                if not away:
                    log.warning("Redis is away; nothing changes until it is back", extra={"reason": error.message})
                self._tell_of_outage(error)
                away, delay = True, AWAY_SECONDS
                self._notices.forget()
            await self._rhythm.rest(delay)

    # --- what -----------------------------------------------------------------------------------------------------

    async def round(self) -> float:
        """Observe, plan, apply. Returns after how many seconds to look again at the latest.

        :raises StaleEpoch: a newer operator is in charge.
        :raises QueueUnavailable: Redis is away.
        """
        async with self._parts.turns.take(self._rhythm.is_urgent):
            self._rhythm.begin()
            started = time.perf_counter()
            delay = await self._round()
            took = time.perf_counter() - started
        self._parts.metrics.reconcile.labels(self._name).observe(took)
        self._rhythm.took(took)
        return delay

    async def _round(self) -> float:
        if self._parts.source.refresh():
            self._tell_of_source()
        if self._parts.source.epoch > self._epoch:
            newer = self._parts.source.epoch
            raise StaleEpoch(
                f"pool {self._name}: a newer operator (epoch {newer}) has taken over from this one "
                f"(epoch {self._epoch})"
            )
        pool = self._parts.source.pool
        seen = await self._observe()
        if self._settled and len(seen.assignments) < len(self._slots()):
            log.warning("Redis has lost documents; they are published again")
            self._notices.forget()
        offered = self._notices.catalog_of(pool)
        catalog = with_turns(offered, seen.heartbeats, seen.assignments)
        engine = newest_engine(seen.heartbeats.values())
        if await self._notices.publish_catalog(catalog, engine, self._epoch, seen.now):
            log.info("catalog published", extra={"generation": pool.metadata.generation})
        snapshot = snapshot_of(pool, seen, self._history)
        planned = plan(snapshot)
        async for move in self._notices.assign(planned, seen.assignments, self._epoch):
            self._tell_of_move(move)
            self._measures.told(move, snapshot)
        self._settled = True
        self._tell_of_waiting(planned)
        self._measures.note(snapshot, planned, seen.demand)
        delay = self._rhythm.end(snapshot, planned)
        workers = self._parts.workers
        trouble = Trouble(
            self._parts.source.problem,
            workers.trouble,
            self._demand_trouble,
            workers.problems,
            workers.rollout,
            reload_of(offered, seen.heartbeats),
        )
        account = Account(pool, workers.generation, self._epoch, seen, snapshot, planned, trouble)
        status = status_of(account, self._notices.latest)
        self._parts.teller.tell(status)
        owed = await self._notices.tell(status, int(pool.spec.rebalance.interval_seconds * 1000))
        return delay if owed is None else min(delay, owed / 1000)

    async def _observe(self) -> Observation:
        board, slots = self._parts.board, self._slots()
        now = self._parts.now()
        heartbeats, assignments, depths, _ = await asyncio.gather(
            board.heartbeats(slots), board.assignments(slots), self._parts.queue.depths(), self._read_demand(now)
        )
        return Observation(now, heartbeats, assignments, depths, self._demand, self._parts.workers.observed)

    async def _read_demand(self, now: int) -> None:
        """Once in each interval. The last figures stay in force while the source is away."""
        rebalance = self._parts.source.pool.spec.rebalance
        if self._demand_at is not None and now - self._demand_at < rebalance.interval_seconds * 1000:
            return
        try:
            self._demand = await self._parts.demand.read(now, rebalance.window_seconds)
            self._demand_trouble = None
        except Unavailable as error:
            self._demand_trouble = error.message
        self._demand_at = now

    def _slots(self) -> list[str]:
        pool = self._parts.source.pool
        return [slot_name(pool.metadata.name, tier.name, i) for tier in pool.spec.tiers for i in range(tier.slots)]

    # --- telling --------------------------------------------------------------------------------------------------

    def _tell_of_outage(self, error: QueueUnavailable) -> None:
        pool, now = self._parts.source.pool, self._parts.now()
        latest, generation = self._notices.latest, pool.metadata.generation
        sentence = f"Nothing moves until Redis is back: {error.message}"
        status = status_without_sight(latest, generation, self._epoch, now, "QueueUnavailable", sentence)
        self._notices.latest = status
        self._parts.teller.tell(status)

    def _tell_of_move(self, move: Move) -> None:
        self._parts.teller.moved(move)
        log.info(
            "%s %s",
            move.action.value,
            move.model,
            extra={
                "slot": move.slot,
                "model": move.model,
                "action": move.action.value,
                "reason": move.reason.value,
                "why": move.sentence,
                "score": move.score,
                "runner_up": move.runner_up,
                "after_batch": move.after_batch,
            },
        )

    def _tell_of_waiting(self, planned: Plan) -> None:
        """Once for each new reason."""
        told = {(held.model, held.slot): held.reason.value for held in planned.held}
        for held in planned.held:
            key = (held.model, held.slot)
            if self._told.get(key) != told[key]:
                extra = {"model": held.model, "slot": held.slot, "reason": held.reason.value}
                log.log(logging.INFO if held.demanded else logging.DEBUG, held.sentence, extra=extra)
        self._told = told

    def _tell_of_source(self) -> None:
        source = self._parts.source
        if source.problem is not None:
            log.error("the pool's last change is not in force", extra={"reason": source.problem})
        else:
            log.info("the pool has changed", extra={"generation": source.pool.metadata.generation})
            self._settled = False
            self._parts.workers.changed()
