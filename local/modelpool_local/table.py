"""What the live table says. The rows are pure; :func:`render` makes rich tables of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from modelpool.documents import REMOTE, Catalog, Heartbeat
from modelpool.queue.port import ModelDepth
from modelpool.resources.status import ModelPoolStatus
from modelpool.slots import ObservedSlot, SlotPhase


@dataclass(frozen=True, slots=True)
class View:
    """Everything that the table shows, as of ``now`` (Unix milliseconds)."""

    catalog: Catalog
    now: int
    slots: Mapping[str, ObservedSlot] = field(default_factory=dict)
    heartbeats: Mapping[str, Heartbeat] = field(default_factory=dict)
    depths: Mapping[str, ModelDepth] = field(default_factory=dict)
    status: ModelPoolStatus | None = None
    redis_away: bool = False
    """Then nothing is known of heartbeats, depths and status."""


class SlotRow(NamedTuple):
    """One slot."""

    slot: str
    models: str
    state: str
    batch: str
    since: str
    restarts: str


class ModelRow(NamedTuple):
    """One model."""

    model: str
    tier: str
    hot_on: str
    queued: str
    running: str
    per_minute: str
    eta: str


def slot_rows(view: View) -> list[SlotRow]:
    """A row for every slot of the pool, in the order of the file."""
    changed = {gpu.slot: gpu.since for gpu in view.status.gpus} if view.status else {}
    return [
        _slot_row(
            slot.slot, view.slots.get(slot.slot), view.heartbeats.get(slot.slot), changed.get(slot.slot, 0), view.now
        )
        for slot in view.catalog.slots
    ]


def model_rows(view: View) -> list[ModelRow]:
    """A row for every model of the pool, in the order of the file."""
    rates = {model.name: model.per_minute for model in view.status.models} if view.status else {}
    rows = []
    for model in view.catalog.models:
        hot = sum(model.name in heartbeat.hot for heartbeat in view.heartbeats.values())
        loading = any(
            heartbeat.loading is not None and heartbeat.loading.model == model.name
            for heartbeat in view.heartbeats.values()
        )
        depth = view.depths.get(model.name, ModelDepth())
        rows.append(
            ModelRow(
                model.name,
                model.tier,
                "loading" if loading and not hot else f"{hot} slot{'' if hot == 1 else 's'}",
                str(depth.queued) if depth.queued else "",
                str(depth.running) if depth.running else "",
                _rate(rates.get(model.name, 0)),
                _eta(depth, hot),
            )
        )
    return rows


def render(view: View) -> RenderableType:
    """Two tables, slots and models."""
    slots = _table("slot", "holds", "state", "batch", "since", "restarts")
    slots.title = f"pool {view.catalog.pool}{_price(view.status)}"
    for row in slot_rows(view):
        slots.add_row(*(_plain(cell) for cell in row))
    models = _table("model", "tier", "hot on", "queued", "running", "per minute", "ETA")
    for model in model_rows(view):
        models.add_row(*(_plain(cell) for cell in model))
    return Group(slots, models)


def _price(status: ModelPoolStatus | None) -> str:
    cost = status.cost if status is not None else None
    if cost is None or cost.per_generation_usd is None or cost.useful_share is None:
        return ""
    return f" · ${cost.per_generation_usd} a generation, GPUs {cost.useful_share:.0%} useful in the last hour"


def summary(view: View) -> str:
    """One line for a log instead of the table."""
    hot = sorted({model for heartbeat in view.heartbeats.values() for model in heartbeat.hot})
    batches = sum(heartbeat.batch is not None for heartbeat in view.heartbeats.values())
    queued = sum(depth.queued for depth in view.depths.values())
    running = sum(depth.running for depth in view.depths.values())
    return (
        f"{len(view.heartbeats)} of {len(view.catalog.slots)} slots alive, {batches} busy; hot: {', '.join(hot) or 'nothing'}; "
        f"{queued} queued, {running} running"
    )


def _slot_row(slot: str, seen: ObservedSlot | None, heartbeat: Heartbeat | None, changed: int, now: int) -> SlotRow:
    """``changed`` is when the operator last saw the slot become something else, 0 where it has not said."""
    restarts = str(seen.restarts) if seen and seen.restarts else ""
    if seen is None:
        return SlotRow(slot, "", "waiting for the operator", "", "", restarts)
    if seen.phase is not SlotPhase.READY or heartbeat is None:
        words = {SlotPhase.READY: "starting", SlotPhase.RESTARTING: f"crashed: {seen.reason}"}
        state = words.get(seen.phase, seen.phase.value.lower())
        return SlotRow(slot, "", state, "", duration(now - seen.since), restarts)
    state, batch, since = _activity(heartbeat, max(changed, seen.since))
    return SlotRow(slot, _holds(heartbeat), state, batch, duration(now - since), restarts)


def _activity(heartbeat: Heartbeat, started: int) -> tuple[str, str, int]:
    """State, batch, and since when."""
    batch = f"{heartbeat.batch.size} × {heartbeat.batch.model}" if heartbeat.batch else ""
    if heartbeat.draining:
        return "draining", batch, started
    if heartbeat.loading is not None:
        done = f" {heartbeat.loading.progress:.0%}" if heartbeat.loading.progress else ""
        doing = "fetching" if heartbeat.loading.origin == REMOTE else "loading"
        return f"{doing} {heartbeat.loading.model}{done}", batch, heartbeat.loading.since
    if heartbeat.batch is not None:
        steps = f" step {heartbeat.batch.step}/{heartbeat.batch.steps}" if heartbeat.batch.steps else ""
        return f"running{steps}", batch, heartbeat.batch.since
    if heartbeat.error is not None:
        return f"failed: {heartbeat.error.message}", "", heartbeat.error.at
    return "idle", "", started


def _rate(per_minute: float) -> str:
    return f"{per_minute:.1f}" if per_minute >= 0.05 else ""


def _holds(heartbeat: Heartbeat) -> str:
    warm = [f"({model})" for model in heartbeat.warm if model not in heartbeat.hot]
    return " ".join([*heartbeat.hot, *warm])


def _eta(depth: ModelDepth, hot: int) -> str:
    """When a job that comes now would start: what waits, shared by the slots that hold the model."""
    if not depth.queued:
        return "now" if hot else ""
    return duration(int(depth.queued_work / hot * 1000)) if hot else "loading"


def duration(milliseconds: int) -> str:
    """``8 s``, ``3 min``, ``2 h``."""
    seconds = max(0, milliseconds) / 1000
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    if seconds < 99.5 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h"


def _table(*columns: str) -> Table:
    return Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False)


def _plain(text: str) -> Text:
    """Not markup: a reason may hold square brackets."""
    return Text(text)
