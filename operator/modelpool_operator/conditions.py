"""The conditions of a pool's status, and the words that they are explained with. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from modelpool.resources.spec import Policy
from modelpool.resources.status import Condition, GpuStatus, ModelPoolStatus, ModelState, ModelStatus
from modelpool.slots import SlotPhase
from modelpool_operator.account import Account
from modelpool_operator.planner import HeldReason

SERIOUS = frozenset({HeldReason.LOAD_BACK_OFF, HeldReason.LARGER_THAN_SLOT, HeldReason.NO_WORKER})
"""Reasons for which a wish waits that somebody should look at."""


def conditions(
    account: Account,
    gpus: tuple[GpuStatus, ...],
    models: tuple[ModelStatus, ...],
    previous: ModelPoolStatus | None,
) -> tuple[Condition, ...]:
    """All conditions; those of ``previous`` say since when each is as it is."""
    before = {condition.type: condition for condition in previous.conditions} if previous is not None else {}
    moment = moment_of(account.seen.now)
    found = (
        ("Ready", *_ready(account, gpus)),
        ("Progressing", *_progressing(account, gpus)),
        ("Degraded", *_degraded(account, gpus, models)),
        ("DemandSourceAvailable", *_demand_source(account)),
    )
    return tuple(
        condition(before.get(kind), kind, (is_true, reason, message), account.generation, moment)
        for kind, is_true, reason, message in found
    )


def condition(
    old: Condition | None, kind: str, found: tuple[bool, str, str], generation: int, moment: str
) -> Condition:
    """One condition from (whether, reason, message); it keeps the moment of ``old`` while it is as it was."""
    is_true, reason, message = found
    status = str(is_true)
    return Condition(
        type=kind,
        status=status,
        reason=reason,
        message=message,
        observed_generation=generation,
        last_transition_time=old.last_transition_time if old is not None and old.status == status else moment,
    )


def moment_of(now: int) -> str:
    """Unix milliseconds as Kubernetes writes moments."""
    return datetime.fromtimestamp(now / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _ready(account: Account, gpus: tuple[GpuStatus, ...]) -> tuple[bool, str, str]:
    waiting = [gpu.slot for gpu in gpus if gpu.phase is not SlotPhase.READY]
    if waiting:
        why = next((f" {slot}: {word}" for slot in waiting if (word := _runtimes_word(account, slot))), "")
        return (
            False,
            "SlotsNotReady",
            f"{len(waiting)} of {len(gpus)} slots without a running worker: {_list(waiting)}.{why}",
        )
    always = {tier.name: tier.models for tier in account.pool.spec.tiers if tier.policy is Policy.ALWAYS}
    lacking = [gpu.slot for gpu in gpus if {m.name for m in always.get(gpu.tier, ())} - set(gpu.hot)]
    if lacking:
        return False, "ModelsNotHot", f"Not every model of its Always tier is hot in {_list(lacking)}."
    return True, "Serving", "All slots are ready and hold what they must."


def _runtimes_word(account: Account, slot: str) -> str:
    """Why the runtime has no running worker there, in its own words."""
    found = account.seen.runtime.get(slot)
    return found.reason if found is not None else ""


def _progressing(account: Account, gpus: tuple[GpuStatus, ...]) -> tuple[bool, str, str]:
    if account.trouble.rollout:
        return True, "RollingOut", f"Workers are replaced one after the other; {account.trouble.rollout}."
    starting = [gpu.slot for gpu in gpus if gpu.phase is SlotPhase.STARTING]
    if starting:
        return True, "Starting", f"Workers are starting: {_list(starting)}."
    if account.trouble.reload:
        return True, "RollingOut", f"A new revision is loaded in one slot after the other: {account.trouble.reload}."
    loading = [gpu.slot for gpu in gpus if gpu.phase is SlotPhase.READY and set(gpu.planned) - set(gpu.hot)]
    if loading:
        return True, "Loading", f"Models are being loaded in {_list(loading)}."
    return False, "AtRest", "Every slot holds what it was told to hold."


def _degraded(account: Account, gpus: tuple[GpuStatus, ...], models: tuple[ModelStatus, ...]) -> tuple[bool, str, str]:
    return next(_troubles(account, gpus, models), (False, "AsExpected", "Nothing stands in the way."))


def _troubles(
    account: Account, gpus: tuple[GpuStatus, ...], models: tuple[ModelStatus, ...]
) -> Iterator[tuple[bool, str, str]]:
    """In the order in which somebody should look at them."""
    if account.trouble.spec is not None:
        yield True, "InvalidSpec", f"The last change is not in force: {account.trouble.spec}"
    if account.trouble.runtime is not None:
        yield True, "RuntimeUnavailable", account.trouble.runtime
    for problem in account.trouble.problems:
        yield True, problem.reason, problem.message
    for gpu in gpus:
        if gpu.phase in (SlotPhase.FAILED, SlotPhase.RESTARTING):
            yield True, "SlotFailed", f"{gpu.slot}: {gpu.reason or 'its worker has ended'}"
    for gpu in gpus:
        if gpu.phase is SlotPhase.PENDING and _runtimes_word(account, gpu.slot):
            yield True, "SlotPending", f"{gpu.slot}: {gpu.reason}"
    for model in models:
        if model.state is ModelState.FAILED:
            yield True, "LoadFailed", f"{model.name} could not be loaded: {model.last_failure}"
    starting = {gpu.slot for gpu in gpus if gpu.phase is SlotPhase.STARTING}
    for held in account.plan.held:
        if held.demanded and held.reason in SERIOUS and held.slot not in starting:
            yield True, held.reason.value, held.sentence


def _demand_source(account: Account) -> tuple[bool, str, str]:
    if account.trouble.demand is not None:
        return False, "Unavailable", account.trouble.demand
    if account.seen.demand.stands_in_for is not None:
        instead = f"{account.seen.demand.source} stand in"
        return False, "FallbackInUse", f"{account.seen.demand.stands_in_for}; {instead}."
    if not account.seen.demand.source:
        return False, "NotReadYet", "Demand has not been read yet."
    return True, "Available", f"Demand comes from {account.seen.demand.source}."


def _list(names: list[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
