"""Brings a slot to its assignment, one move at a time, and knows what can be served meanwhile.

All bookkeeping happens on the event loop, so it needs no lock; only the engine's own work runs in the loader thread.
A model in use is pinned: it stops being offered at once, and leaves when the last pin is gone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress

from modelpool.documents import REMOTE, Assignment, Catalog, Loading, MeasuredModel, SlotFailure
from modelpool.errors import DeviceFailed, EngineError, ModelLoadFailed, OutOfMemory
from modelpool_worker.clock import Clock
from modelpool_worker.engines.protocol import Engine
from modelpool_worker.residency.budgets import Budget, Needs
from modelpool_worker.residency.held import Held, LoadTimes
from modelpool_worker.residency.moves import Holding, Move, Place, Wanted, next_move
from modelpool_worker.sources import Sources
from modelpool_worker.threads import SerialThread

log = logging.getLogger(__name__)

RETRY_FAILED_SECONDS = 60.0
"""A load that failed is tried again after this, or at once when the assignment changes."""


class Keeper:
    """The residency of one slot. ``changed`` is called whenever the heartbeat would say something new."""

    def __init__(
        self,
        engine: Engine,
        loader: SerialThread,
        sources: Sources,
        budget: Budget,
        clock: Clock,
        *,
        changed: Callable[[], None],
        loaded: Callable[[str, Place, float], None] = lambda model, origin, seconds: None,
    ) -> None:
        self._engine = engine
        self._loader = loader
        self._sources = sources
        self._budget = budget
        self._clock = clock
        self._changed = changed
        self._loaded = loaded
        self._held: dict[str, Held] = {}
        self._times: dict[str, LoadTimes] = {}
        self._catalog = Catalog(pool="")
        self._stays: Mapping[str, str] = {}
        self._assignment: Assignment | None = None
        self._retry_at: float | None = None
        self._wake = asyncio.Event()
        self.loading: Loading | None = None
        self.failed: dict[str, SlotFailure] = {}
        self.reached: Assignment | None = None
        """The last assignment that was worked off; its failures are in ``failed``."""

    # --- what there is --------------------------------------------------------------------------------------------

    @property
    def hot(self) -> tuple[str, ...]:
        """Models on the device, whether still wanted or not."""
        return tuple(name for name, held in self._held.items() if held.place is Place.HOT)

    @property
    def warm(self) -> tuple[str, ...]:
        """Models in host RAM only."""
        return tuple(name for name, held in self._held.items() if held.place is Place.WARM)

    @property
    def revisions(self) -> dict[str, str]:
        """Of everything that is held."""
        return {name: held.model.revision for name, held in self._held.items()}

    @property
    def serving(self) -> tuple[str, ...]:
        """Hot models that shall stay so: those that batches may be claimed for."""
        wanted = self._wanted()
        return tuple(
            name
            for name in self.hot
            if wanted.place(name) is Place.HOT and wanted.current(name, self._holdings()[name])
        )

    @property
    def settled(self) -> bool:
        """Whether the newest assignment known has been worked off."""
        return self._assignment is not None and self.reached is self._assignment

    def weights(self, place: Place) -> int:
        """Bytes of all models held at this place."""
        return sum(held.resident.weights_bytes for held in self._held.values() if held.place is place)

    def measured(self, model: str) -> MeasuredModel:
        """What is known of a model's size and load times."""
        held, times = self._held.get(model), self._times.get(model)
        return MeasuredModel(
            weights_bytes=held.resident.weights_bytes if held else None,
            activations_bytes=held.resident.activations_bytes if held else None,
            cold_to_hot_seconds=times.by_origin[Place.COLD].stat() if times else None,
            warm_to_hot_seconds=times.by_origin[Place.WARM].stat() if times else None,
        )

    def known(self) -> frozenset[str]:
        """Models that :meth:`measured` has something to say about."""
        return frozenset(self._held) | frozenset(self._times)

    def pin(self, model: str) -> Held:
        """Use a hot model; it stays until as many :meth:`unpin`."""
        held = self._held[model]
        held.pins += 1
        return held

    def unpin(self, model: str) -> None:
        """A use has ended."""
        self._held[model].pins -= 1
        self._wake.set()

    # --- what there shall be --------------------------------------------------------------------------------------

    def want(self, assignment: Assignment, catalog: Catalog, stays: Mapping[str, str] | None = None) -> None:
        """Work towards this from now on. ``stays``: older revisions that need not go yet."""
        same = self._assignment == assignment and self._same_models(catalog) and self._stays == (stays or {})
        self._stays = stays or {}
        if same:
            self._catalog = catalog
            return
        if self._assignment is None or self._assignment.version != assignment.version or not self._same_models(catalog):
            self.failed.clear()
        self._assignment, self._catalog = assignment, catalog
        self._wake.set()

    def _same_models(self, catalog: Catalog) -> bool:
        return self._catalog.models == catalog.models

    @property
    def catalog(self) -> Catalog:
        """The newest known."""
        return self._catalog

    async def run(self) -> None:
        """Make moves for ever.

        :raises DeviceFailed: the device cannot be used any more.
        """
        while True:
            self._wake.clear()
            move = self._next_move()
            if move is None:
                self._settle()
                await self._woken()
            elif self._held.get(move.model) is not None and self._held[move.model].pins and move.to is not Place.HOT:
                await self._woken()
            else:
                await self._make(move)

    async def _woken(self) -> None:
        delay = None if self._retry_at is None else max(0.0, self._retry_at - self._clock.monotonic())
        try:
            async with asyncio.timeout(delay):
                await self._wake.wait()
        except TimeoutError:
            self._retry_at = None
            self.failed.clear()

    def _settle(self) -> None:
        if self.reached is not self._assignment:
            self.reached = self._assignment
            log.info("assignment reached", extra={"hot": self.hot, "warm": self.warm, "failed": tuple(self.failed)})
            self._changed()

    def _next_move(self) -> Move | None:
        return None if self._assignment is None else next_move(self._holdings(), self._wanted(), self.failed)

    def _holdings(self) -> Mapping[str, Holding]:
        return {name: Holding(held.place, held.model.revision) for name, held in self._held.items()}

    def _wanted(self) -> Wanted:
        if self._assignment is None:
            return Wanted()
        revisions = {model.name: model.revision for model in self._catalog.models}
        return Wanted(self._assignment.hot, self._assignment.warm, revisions, self._stays)

    async def _make(self, move: Move) -> None:
        started, started_ms = self._clock.monotonic(), self._clock.now_ms()
        try:
            if move.origin is Place.COLD and await self._fetch(move.model):
                # Loads are timed from the disk on: the next one finds the files there.
                started, started_ms = self._clock.monotonic(), self._clock.now_ms()
            if move.to is Place.COLD:
                await self._loader.run(self._held.pop(move.model).resident.evict)
            elif move.origin is Place.HOT:
                await self._cool(move.model)
            else:
                self.loading = Loading(model=move.model, origin=move.origin.value, since=started_ms)
                self._changed()
                await self._raise(move)
                self._note_loaded(move, self._clock.monotonic() - started, started_ms)
        except DeviceFailed:
            raise
        except EngineError as error:
            await self._give_up(move.model, error)
        finally:
            self.loading = None
            self._changed()
        log.info(
            "moved",
            extra={
                "model": move.model,
                "origin": move.origin.value,
                "to": move.to.value,
                "seconds": round(self._clock.monotonic() - started, 3),
                "failed": move.model in self.failed,
            },
        )

    async def _cool(self, model: str) -> None:
        held = self._held[model]
        others = [_needs(other) for other in self._held.values() if other.place is Place.WARM]
        if not self._budget.fits_warm([*others, _needs(held)]):
            await self._loader.run(self._held.pop(model).resident.evict)
            raise ModelLoadFailed(f"{model!r} does not fit into the slot's host memory beside what is warm there")
        held.place = Place.WARM  # it is not to be offered while it moves
        try:
            await self._loader.run(held.resident.to_warm)
        except DeviceFailed:
            raise
        except EngineError:
            # Some of it may still be on the device, which the books call free.
            del self._held[model]
            with suppress(EngineError):  # the first failure is the one to tell
                await self._loader.run(held.resident.evict)
            raise

    async def _fetch(self, name: str) -> bool:
        """Bring a model's files here if they are not; tells whether that took any time."""
        model = self._catalog.model(name)
        if model is None or self._sources.is_here(model):
            return False
        self.loading = Loading(model=name, origin=REMOTE, since=self._clock.now_ms())
        self._changed()
        await self._loader.run(lambda: self._sources.fetch(model, self._show_progress))
        return True

    async def _raise(self, move: Move) -> None:
        held = self._held.get(move.model)
        if held is None:
            model = self._catalog.model(move.model)
            if model is None:
                raise ModelLoadFailed(f"{move.model!r} is assigned to this slot but not in the pool's catalog")
            self._require_room(move, Needs(model.weights_bytes, model.activations_bytes))
            folder = self._sources.folder(model)
            resident = await self._loader.run(lambda: self._engine.load(model, folder, self._show_progress))
            held = Held(model, resident, Place.WARM)
        try:
            self._require_room(move, _needs(held))
            if move.to is Place.HOT:
                await self._loader.run(held.resident.to_hot)
        except EngineError:
            if (
                move.model not in self._held
            ):  # loaded for nothing: it would lie in memory until Python looks for garbage
                await self._loader.run(held.resident.evict)
            raise
        held.place = move.to
        self._held[move.model] = held

    def _require_room(self, move: Move, needs: Needs) -> None:
        others = [_needs(held) for name, held in self._held.items() if held.place is move.to and name != move.model]
        if move.to is Place.HOT and not self._budget.fits_hot([*others, needs]):
            raise ModelLoadFailed(f"{move.model!r} does not fit the slot's VRAM beside what is hot there")
        if move.to is Place.WARM and not self._budget.fits_warm([*others, needs]):
            raise ModelLoadFailed(f"{move.model!r} does not fit the slot's host memory beside what is warm there")

    def _show_progress(self, share: float) -> None:
        """Called by the loader thread; a document is replaced whole, so no reader sees half of it."""
        loading = self.loading
        if loading is not None:
            self.loading = loading.model_copy(update={"progress": share})

    def _note_loaded(self, move: Move, seconds: float, started_ms: int) -> None:
        self.failed.pop(move.model, None)
        held = self._held[move.model]
        earlier = held.loads_ms[-1:] if move.origin is Place.WARM else ()
        held.loads_ms = (*earlier, (started_ms, self._clock.now_ms()))
        if move.to is Place.HOT:
            self._times.setdefault(move.model, LoadTimes()).by_origin[move.origin].add(seconds)
            self._loaded(move.model, move.origin, seconds)

    async def _give_up(self, model: str, error: EngineError) -> None:
        log.warning("load failed", extra={"model": model, "code": error.code, "reason": error.message})
        self.failed[model] = SlotFailure(code=error.code, message=error.message, at=self._clock.now_ms(), model=model)
        if isinstance(error, OutOfMemory):
            await self._loader.run(self._engine.free_cache)
        self._retry_at = self._clock.monotonic() + RETRY_FAILED_SECONDS


def _needs(held: Held) -> Needs:
    """Measured weights; the spec's activations unless a batch has shown more."""
    return Needs(
        weights=held.resident.weights_bytes,
        activations=held.resident.activations_bytes or held.model.activations_bytes,
    )
