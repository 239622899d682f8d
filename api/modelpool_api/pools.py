"""The pools that this process serves, as Redis lists them, each with a snapshot of what it offers and does.

Requests read snapshots, which one task refreshes every second: admission costs no round trip for the catalog.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from redis.asyncio import Redis

from modelpool.board import Board
from modelpool.documents import POOLS_KEY, Catalog, CatalogModel, Heartbeat, newest_engine
from modelpool.errors import InvalidInput, JobNotFound, ModelNotFound, ModelpoolError, QueueUnavailable
from modelpool.jobs import Lane
from modelpool.queue.connection import unavailable
from modelpool.queue.port import ModelDepth, Queue
from modelpool.queue.redis import RedisQueue
from modelpool.resources.pool import PoolRef
from modelpool.tasks import end
from modelpool_api.entered import Entered
from modelpool_api.estimate import Capacity, Pace, capacity, pace_of
from modelpool_api.overload import predicted_wait, work_in_front
from modelpool_api.repeating import repeat
from modelpool_api.waiting import Waiting

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.25
Connect = Callable[[], Awaitable[Redis]]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was known of a pool at ``at`` (Unix milliseconds)."""

    catalog: Catalog
    heartbeats: Mapping[str, Heartbeat]
    depths: Mapping[str, ModelDepth]
    at: int
    capacities: dict[str, Capacity] = field(default_factory=dict, init=False, compare=False)
    """By model, as far as somebody has asked."""


@dataclass(slots=True)
class Pool:
    """One pool as the API uses it."""

    ref: PoolRef
    board: Board
    queue: Queue
    waiting: Waiting
    snapshot: Snapshot
    paces: dict[str, Pace] = field(default_factory=dict)
    """From jobs that this process has seen end, by model."""
    entered: Entered = field(default_factory=Entered)
    """What this process has let in since the snapshot: a rush is over before the next."""
    engine: str = ""
    """Version of what makes the pictures, part of every digest: the newest worker's, the last one known while no worker lives."""

    def capacity(self, model: CatalogModel) -> Capacity:
        """What the slots can do for ``model``."""
        snapshot = self.snapshot
        found = snapshot.capacities.get(model.name)
        if found is None:
            found = snapshot.capacities[model.name] = capacity(model, snapshot.heartbeats.values(), snapshot.at)
        return found

    def pace(self, model: CatalogModel, can: Capacity) -> Pace | None:
        """How fast jobs of ``model`` really run, if known."""
        return pace_of(model, can, self.paces)

    def wait(self, model: CatalogModel, lane: Lane) -> float:
        """Predicted seconds until a job of ``lane`` that comes now would start."""
        in_front = {name: work_in_front(depth, lane) for name, depth in self.snapshot.depths.items()}
        for name, work in self.entered.in_front(lane).items():
            in_front[name] = in_front.get(name, 0.0) + work
        paces = self.paces
        beats = self.snapshot.heartbeats.values()
        return predicted_wait(
            model.name,
            self.capacity(model),
            beats,
            in_front,
            lambda name: paces[name].shared if name in paces else 1.0,
        )

    def learn(self, model: str, ran: float, batch: int, work: float) -> None:
        """Take in one finished job."""
        if ran <= 0 or work <= 0 or batch < 1:
            return
        before = self.paces.get(model)
        self.paces[model] = before.blend(ran, batch, work) if before else Pace.first(ran, batch, work)


Offer = tuple[Pool, CatalogModel]
"""A model, and a pool that offers it."""


class Pools:
    """Every pool that ``mpl:pools`` lists. Survives Redis being away, also at the start."""

    def __init__(
        self,
        connect: Connect,
        now_ms: Callable[[], int],
        *,
        reread_seconds: float = 15.0,
        on_final: Callable[[Pool, str], None] | None = None,
        on_refresh: Callable[[Pool], None] | None = None,
    ) -> None:
        self._connect = connect
        self._now_ms = now_ms
        self._reread_seconds = reread_seconds
        self.on_final = on_final
        self.on_refresh = on_refresh
        self._client: Redis | None = None
        self._by_short_id: dict[str, Pool] = {}
        self._listeners: dict[str, asyncio.Task[None]] = {}
        self._refreshing = asyncio.Lock()
        self._connecting = asyncio.Lock()
        self._looked = float("-inf")
        self.failure: ModelpoolError | None = QueueUnavailable("Redis has not been reached yet; try again")
        """Why the last refresh did not work, None when it did."""

    # --- asking ---------------------------------------------------------------------------------------------------

    def all(self) -> list[Pool]:
        """Every pool, the default one first."""
        return sorted(self._by_short_id.values(), key=lambda pool: (not pool.snapshot.catalog.default, pool.ref))

    def of_job(self, job: str) -> Pool:
        """The pool whose short id begins ``job``.

        :raises JobNotFound: no such pool.
        :raises QueueUnavailable: no pool is known because Redis is away.
        """
        pool = self._by_short_id.get(job.partition("-")[0])
        if pool is not None:
            return pool
        if self.failure is not None:
            raise self.failure
        raise JobNotFound("there is no such job: it never existed, or its record has expired", param="id")

    async def find_model(self, name: str) -> Offer:
        """The model called ``name``, or ``pool/model``, where it would begin soonest.

        :raises ModelNotFound: no pool offers it.
        """
        return quickest(await self.offers(name))

    async def offers(self, name: str) -> list[Offer]:
        """Who offers the model called ``name``, or ``pool/model``; a pool published a moment ago is found too.

        :raises ModelNotFound: no pool offers it.
        """
        try:
            return offers(name, self.all())
        except ModelNotFound:
            # Whoever asks for models that do not exist makes us look only so often.
            if time.monotonic() - self._looked > _LOOK_SECONDS:
                self._looked = time.monotonic()
                await self.refresh()
                return offers(name, self.all())
            if self.failure is not None:
                raise self.failure from None
            raise

    async def client(self) -> Redis:
        """The connected client.

        :raises QueueUnavailable: Redis is away.
        """
        if self._client is not None:
            return self._client
        async with self._connecting:
            if self._client is None:
                try:
                    self._client = await self._connect()
                except InvalidInput as error:
                    # A Redis of the wrong kind: requests cannot mend that, and it may be mended behind our back.
                    raise QueueUnavailable(error.message) from error
            return self._client

    # --- refreshing -----------------------------------------------------------------------------------------------

    async def refresh(self) -> None:
        """Read the list of pools and a snapshot of each.

        :raises QueueUnavailable: Redis is away; the old snapshots stay.
        """
        async with self._refreshing:
            try:
                await self._refresh(await self.client())
            except ModelpoolError as error:
                self.failure = error
                raise
            self.failure = None

    async def _refresh(self, client: Redis) -> None:
        with unavailable():
            listed = {str(short_id): str(name) for short_id, name in (await client.hgetall(POOLS_KEY)).items()}
        for short_id in set(self._by_short_id) - set(listed):
            del self._by_short_id[short_id]
            await end(self._listeners.pop(short_id))
        for short_id, name in listed.items():
            pool = self._by_short_id.get(short_id)
            board = pool.board if pool is not None else Board(PoolRef.parse(name), client)
            catalog = await board.catalog()
            if catalog is None:
                continue
            heartbeats = await board.heartbeats([slot.slot for slot in catalog.slots])
            seen = pool.entered.in_line() if pool is not None else frozenset()
            queue: Queue = pool.queue if pool is not None else RedisQueue(board.pool, client)
            snapshot = Snapshot(catalog, heartbeats, await queue.depths(), self._now_ms())
            if pool is None:
                self._add(Pool(board.pool, board, queue, self._waiting(short_id, queue), snapshot), short_id)
            else:
                pool.snapshot = snapshot
                pool.entered.forget(seen)
            served = self._by_short_id[short_id]
            served.engine = newest_engine(heartbeats.values()) or served.engine or catalog.engine
            if self.on_refresh is not None:
                self.on_refresh(served)

    def _waiting(self, short_id: str, queue: Queue) -> Waiting:
        def ended(job: str) -> None:
            if self.on_final is not None and short_id in self._by_short_id:
                self.on_final(self._by_short_id[short_id], job)

        return Waiting(queue, reread_seconds=self._reread_seconds, on_final=ended)

    def _add(self, pool: Pool, short_id: str) -> None:
        self._by_short_id[short_id] = pool
        name = f"events of {pool.ref}"
        self._listeners[short_id] = asyncio.create_task(repeat(name, 1, pool.waiting.run), name=name)
        log.info("serving pool %s with %d models", pool.ref, len(pool.snapshot.catalog.models))

    async def close(self) -> None:
        """Stop listening and disconnect."""
        await end(*self._listeners.values())
        self._listeners.clear()
        self._by_short_id.clear()
        if self._client is not None:
            await self._client.aclose()
            self._client = None


def offers(name: str, pools: list[Pool]) -> list[Offer]:
    """Who offers ``model``, ``pool/model`` or ``namespace/pool/model``.

    :raises ModelNotFound: no pool offers it.
    """
    of_pool, _, bare = name.rpartition("/")
    found = [
        (pool, model)
        for pool in pools
        if of_pool in ("", pool.ref.name, str(pool.ref)) and (model := pool.snapshot.catalog.model(bare)) is not None
    ]
    if not found:
        raise ModelNotFound(f"no pool offers a model called {name[:100]!r}; GET /v1/models lists them", param="model")
    return found


def quickest(offers: list[Offer]) -> Offer:
    """That of the default pool, else the one with the least wait."""
    in_default = [offer for offer in offers if offer[0].snapshot.catalog.default]
    offers = in_default or offers
    return offers[0] if len(offers) == 1 else min(offers, key=_predicted_wait)


def _predicted_wait(offer: Offer) -> tuple[float, str]:
    pool, model = offer
    can = pool.capacity(model)
    depth = pool.snapshot.depths.get(model.name)
    queued = depth.queued_work / max(1, can.replicas) if depth is not None else 0.0
    # A load that has never been measured is thought to be long.
    load = 60.0 if can.load_seconds is None else can.load_seconds
    return load + can.busy_seconds + queued, str(pool.ref)
