"""What the operator says of its pool: a pure function of what it saw, what it planned and what it said before."""

from __future__ import annotations

from modelpool.documents import REMOTE
from modelpool.resources.quantity import format_bytes
from modelpool.resources.status import CostStatus, GpuStatus, ModelPoolStatus, ModelState, ModelStatus
from modelpool.slots import SlotPhase
from modelpool_operator.account import Account
from modelpool_operator.conditions import condition, conditions, moment_of
from modelpool_operator.cost import cost_of
from modelpool_operator.planner import Action, ModelFacts, SlotFacts

RECENT_MS = 300_000
"""A slot's last error is shown for so long; it does not say when it is over."""


def status_of(account: Account, previous: ModelPoolStatus | None) -> ModelPoolStatus:
    """The whole status. ``previous`` gives the moments since which things are as they are."""
    gpus = _gpus(account, previous)
    models = tuple(_model_status(account, model) for model in account.snapshot.models)
    return ModelPoolStatus(
        observed_generation=account.generation,
        epoch=account.epoch,
        slots=len(gpus),
        ready_slots=sum(gpu.phase is SlotPhase.READY for gpu in gpus),
        hot_models=sum(model.state is ModelState.HOT for model in models),
        queued=sum(model.queued for model in models),
        conditions=conditions(account, gpus, models, previous),
        gpus=gpus,
        models=models,
        cost=_cost(account, previous),
        updated_at=account.seen.now,
    )


def _cost(account: Account, previous: ModelPoolStatus | None) -> CostStatus | None:
    """Over the last hour in which there was anything to do: a price that rises all night is no news."""
    known = previous.cost if previous is not None else None
    if known is not None and not any(depth.queued or depth.running for depth in account.seen.depths.values()):
        return known
    spent = [heartbeat.spent for heartbeat in account.seen.heartbeats.values()]
    return cost_of(spent, account.pool.spec.cost.gpu_hour_usd) or known


# --- slots --------------------------------------------------------------------------------------------------------


def _gpus(account: Account, previous: ModelPoolStatus | None) -> tuple[GpuStatus, ...]:
    before = {gpu.slot: gpu for gpu in previous.gpus} if previous is not None else {}
    planned = {target.slot: target.hot for target in account.plan.targets}
    why: dict[str, str] = {}
    for held in account.plan.held:
        if held.slot is not None:
            why.setdefault(held.slot, held.sentence)
    for move in account.plan.moves:
        if move.action is Action.LOAD or move.slot not in why:
            why[move.slot] = move.sentence
    gpus = []
    for slot in account.snapshot.slots:
        gpu = _gpu(account, slot, planned[slot.name], why.get(slot.name, ""))
        old = before.get(slot.name)
        if old is not None:
            # A slot keeps its reason until it has arrived.
            arriving = bool(set(gpu.planned) - set(gpu.hot))
            reason = gpu.reason or (old.reason if arriving and old.planned == gpu.planned else "")
            same = (old.phase, old.hot) == (gpu.phase, gpu.hot)
            gpu = gpu.model_copy(update={"reason": reason, "since": old.since if same else gpu.since})
        gpus.append(gpu)
    return tuple(gpus)


def _gpu(account: Account, slot: SlotFacts, planned: tuple[str, ...], why: str) -> GpuStatus:
    heartbeat, found = account.seen.heartbeats.get(slot.name), account.seen.runtime.get(slot.name)
    phase = _phase(account, slot)
    trouble = found.reason if found is not None and phase is not SlotPhase.READY else ""
    error = heartbeat.error if heartbeat is not None else None
    if not trouble and error is not None and account.seen.now - error.at < RECENT_MS:
        trouble = error.message
    if not trouble and heartbeat is not None and heartbeat.failed:
        model, failure = min(heartbeat.failed.items())
        trouble = f"{model} could not be loaded: {failure.message}"
    return GpuStatus(
        slot=slot.name,
        tier=slot.tier,
        node=found.node if found is not None else "",
        uuid=heartbeat.uuid if heartbeat is not None else "",
        pod=found.pod if found is not None else "",
        phase=phase,
        hot=tuple(sorted(slot.hot)),
        warm=tuple(sorted(slot.warm)),
        planned=planned,
        reason=trouble or why,
        since=account.seen.now,
    )


def _phase(account: Account, slot: SlotFacts) -> SlotPhase:
    """The runtime knows about processes, the heartbeat whether one of them serves."""
    heartbeat, found = account.seen.heartbeats.get(slot.name), account.seen.runtime.get(slot.name)
    if heartbeat is not None and heartbeat.draining:
        return SlotPhase.DRAINING
    if found is None:
        return SlotPhase.READY if slot.alive else SlotPhase.PENDING
    if found.phase in (SlotPhase.STARTING, SlotPhase.READY):
        return SlotPhase.READY if slot.alive else SlotPhase.STARTING
    return found.phase


# --- models -------------------------------------------------------------------------------------------------------


def _model_status(account: Account, model: ModelFacts) -> ModelStatus:
    slots = [slot for slot in account.snapshot.slots if slot.alive]
    failures = [failure for failure in account.snapshot.failed if failure.model == model.name]
    return ModelStatus(
        name=model.name,
        tier=model.tier,
        # A model that was hot somewhere since then can be loaded, wherever it could not.
        state=_model_state(
            account, model, slots, failed=any(failure.failed_at >= model.left_at for failure in failures)
        ),
        replicas=sum(model.name in slot.hot for slot in slots),
        queued=model.queued,
        per_minute=_two_digits(account.seen.demand.recent.get(model.name, 0.0) * 60),
        forecast_per_minute=_two_digits(model.rate * 60),
        weights=format_bytes(model.weights),
        load_seconds=_measured_load(account, model),
        last_failure=failures[-1].message if failures else None,
    )


def _model_state(account: Account, model: ModelFacts, slots: list[SlotFacts], *, failed: bool) -> ModelState:
    living = {slot.name for slot in slots}
    if any(model.name in slot.hot for slot in slots):
        return ModelState.HOT
    if any(model.name in target.hot for target in account.plan.targets if target.slot in living):
        return ModelState.FETCHING if _fetched_only(account, model.name) else ModelState.LOADING
    if failed:
        return ModelState.FAILED
    return ModelState.WARM if any(model.name in slot.warm for slot in slots) else ModelState.COLD


def _fetched_only(account: Account, model: str) -> bool:
    """Some worker fetches the model's files, and none is further."""
    loading = [beat.loading for beat in account.seen.heartbeats.values() if beat.loading is not None]
    origins = {load.origin for load in loading if load.model == model}
    return origins == {REMOTE}


def _measured_load(account: Account, model: ModelFacts) -> float | None:
    """The expected load, once any worker has measured one: from host RAM if that has been seen, else from disk."""
    measured = [h.measured[model.name] for h in account.seen.heartbeats.values() if model.name in h.measured]
    if any(figures.warm_to_hot_seconds is not None for figures in measured):
        return _two_digits(model.warm_load)
    if any(figures.cold_to_hot_seconds is not None for figures in measured):
        return _two_digits(model.cold_load)
    return None


def _two_digits(value: float) -> float:
    """Traffic as people read it; figures that differ in the third digit are no news."""
    return float(f"{value:.2g}")


def status_without_sight(
    previous: ModelPoolStatus | None, generation: int, epoch: int, now: int, reason: str, message: str
) -> ModelPoolStatus:
    """What was said before, with the reason why nothing can be seen or done now. ``now`` in Unix milliseconds."""
    base = previous or ModelPoolStatus()
    before = {condition.type: condition for condition in base.conditions}
    told = {"Ready": False, "Degraded": True}
    kept = tuple(condition for condition in base.conditions if condition.type not in told)
    new = (
        condition(before.get(kind), kind, (is_true, reason, message), generation, moment_of(now))
        for kind, is_true in told.items()
    )
    changes = {"observed_generation": generation, "epoch": epoch, "conditions": (*new, *kept), "updated_at": now}
    return base.model_copy(update=changes)
