"""The plan in the making: a working copy of the snapshot's placement, with the arithmetic of budgets and replicas.

The rules change it only through :meth:`Draft.load` and :meth:`Draft.unload`. It starts from what the slots were told,
not from what they report, so that planning on a plan already given finds nothing more to do.
"""

from __future__ import annotations

from collections.abc import Iterable

from modelpool.resources.spec import Policy
from modelpool_operator.planner.outcome import Action, Held, HeldReason, Move, Reason
from modelpool_operator.planner.snapshot import FailedLoad, ModelFacts, SlotFacts, Snapshot, TierFacts


class Draft:
    """Mutable; lives for one call of ``plan``."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.now = snapshot.now
        self.rules = snapshot.rules
        self.tiers: dict[str, TierFacts] = {tier.name: tier for tier in snapshot.tiers}
        self.slots: dict[str, SlotFacts] = {slot.name: slot for slot in snapshot.slots}
        self.models: dict[str, ModelFacts] = {model.name: model for model in snapshot.models}
        self.order = {slot.name: index for index, slot in enumerate(snapshot.slots)}
        # Dictionaries as ordered sets: the order of a Python set of strings differs between processes.
        self.hot: dict[str, dict[str, None]] = {}
        self.holders: dict[str, dict[str, None]] = {name: {} for name in self.models}
        self.ready: dict[str, int] = dict.fromkeys(self.models, 0)
        """Slots that serve a model and shall go on doing so."""
        self.loading: dict[str, None] = {}
        self.held: dict[tuple[str, str | None], Held] = {}
        self.changes = 0
        """How often anything was changed."""
        self._moves: dict[tuple[str, str], Move] = {}
        self._failed: dict[tuple[str, str], FailedLoad] = {(f.slot, f.model): f for f in snapshot.failed}
        self._retry_at: dict[str, int] = {}
        for failure in snapshot.failed:
            self._retry_at[failure.model] = max(self._retry_at.get(failure.model, 0), failure.retry_at)
        self._leaving: dict[str, int] = {}
        self._shown_running = {slot.batch for slot in snapshot.slots if slot.alive and slot.batch is not None}
        for slot in snapshot.slots:
            self._carry_over(slot)

    def _carry_over(self, slot: SlotFacts) -> None:
        told = slot.hot if slot.assigned is None else slot.assigned
        self.hot[slot.name] = dict.fromkeys(told)
        if slot.alive:
            for model in told:
                if model in self.holders:
                    self.holders[model][slot.name] = None
                    self.ready[model] += model in slot.hot
            for model in slot.hot:
                if model not in self.hot[slot.name]:
                    self._leaving[model] = self._leaving.get(model, 0) + 1
        self._note_loading(slot)

    def _note_loading(self, slot: SlotFacts) -> None:
        if slot.alive and any(model not in slot.hot for model in self.hot[slot.name]):
            self.loading[slot.name] = None
        else:
            self.loading.pop(slot.name, None)

    # --- questions ------------------------------------------------------------------------------------------------

    def fits(self, slot: SlotFacts, names: Iterable[str]) -> bool:
        """Whether these models fit the slot's VRAM together: Σ weights + the largest activations."""
        weights = activations = 0
        for name in names:
            model = self.models[name]
            weights += model.weights
            if model.activations > activations:  # max() costs half of a large plan
                activations = model.activations
        return weights + activations <= slot.vram

    def fits_beside(self, slot: SlotFacts, model: ModelFacts) -> bool:
        """Whether the model fits without evicting anything."""
        return self.fits(slot, (*self.hot[slot.name], model.name))

    def is_ready(self, slot: SlotFacts, model: str) -> bool:
        """Told to hold it, and holds it."""
        return model in self.hot[slot.name] and model in slot.hot

    def is_busy(self, slot: SlotFacts, model: str) -> bool:
        """Whether a batch of the model is in flight in this slot, or may be: reports lag behind the queue."""
        if slot.batch == model:
            return True
        return model in slot.hot and model not in self._shown_running and self.models[model].running > 0

    def is_leaving(self, model: str) -> bool:
        """Whether some slot still holds the model that was told to let go of it."""
        return self._leaving.get(model, 0) > 0

    def is_guest(self, slot: SlotFacts, model: str) -> bool:
        """Whether the model belongs to another tier than the slot."""
        return self.models[model].tier != slot.tier

    def has_demand(self, tier: TierFacts) -> bool:
        """Whether jobs of the tier's models wait or run."""
        return any(self.models[name].queued or self.models[name].running for name in tier.models)

    def failure(self, slot: SlotFacts, model: ModelFacts) -> FailedLoad | None:
        """The failed load that still keeps the model from this slot."""
        found = self._failed.get((slot.name, model.name))
        return found if found is not None and found.retry_at > self.now else None

    def retry_at(self, model: str) -> int:
        """When the model may be loaded anywhere again, after failures."""
        return self._retry_at.get(model, 0)

    def misses(self) -> list[ModelFacts]:
        """Models with queued jobs, hot nowhere and loading nowhere: paid first, then who has waited longest.

        Waiting counts from when the model was last hot, so that an old backlog does not take every other turn.
        """
        missing = [model for model in self.models.values() if model.queued and not self.holders[model.name]]
        return sorted(missing, key=lambda m: (m.queued_paid == 0, max(m.oldest_at or self.now, m.left_at), m.name))

    def own_slots(self, model: ModelFacts) -> list[SlotFacts]:
        """Living slots of the model's tier."""
        slots = (self.slots[name] for name in self.tiers[model.tier].slots)
        return [slot for slot in slots if slot.alive]

    def possible_slots(self, model: ModelFacts) -> list[SlotFacts]:
        """Living slots that may hold the model now: its tier's, and for Rotate tiers idle lent ones."""
        slots = self.own_slots(model)
        if self.tiers[model.tier].policy is Policy.ROTATE:
            for tier in self.tiers.values():
                if tier.lend and not self.has_demand(tier):
                    slots += [self.slots[name] for name in tier.slots if self.slots[name].alive]
        return slots

    # --- changes --------------------------------------------------------------------------------------------------

    def load(
        self,
        slot: SlotFacts,
        model: ModelFacts,
        reason: Reason,
        sentence: str,
        *,
        score: float | None = None,
        runner_up: str | None = None,
    ) -> None:
        """Tell the slot to hold the model."""
        self.hot[slot.name][model.name] = None
        self.holders[model.name][slot.name] = None
        if model.name in slot.hot:
            self._leaving[model.name] -= 1
            self.ready[model.name] += 1
        self._note_loading(slot)
        self._record(Move(slot.name, model.name, Action.LOAD, reason, sentence, score, runner_up))

    def unload(self, slot: SlotFacts, model: str, reason: Reason, sentence: str, score: float | None = None) -> None:
        """Tell the slot to let go of the model; a batch in flight is finished first."""
        del self.hot[slot.name][model]
        if slot.alive and model in slot.hot:
            self._leaving[model] = self._leaving.get(model, 0) + 1
        if slot.alive and model in self.holders:
            del self.holders[model][slot.name]
            self.ready[model] -= model in slot.hot
        self._note_loading(slot)
        after_batch = slot.batch == model
        self._record(Move(slot.name, model, Action.UNLOAD, reason, sentence, score, None, after_batch))

    def hold(
        self, model: str, reason: HeldReason, sentence: str, slot: str | None = None, *, demanded: bool = True
    ) -> None:
        """Note a wish that has to wait."""
        self.held[(model, slot)] = Held(model, reason, sentence, slot, demanded)

    def _record(self, move: Move) -> None:
        self.changes += 1
        earlier = self._moves.pop((move.slot, move.model), None)
        if earlier is None or earlier.action is move.action:
            self._moves[(move.slot, move.model)] = move  # otherwise the two cancel out

    @property
    def moves(self) -> tuple[Move, ...]:
        """All moves so far: per slot unloads before loads."""
        return tuple(sorted(self._moves.values(), key=lambda m: (self.order[m.slot], m.action is Action.LOAD, m.model)))
