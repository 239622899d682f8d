"""From what Redis and the runtime say to the planner's :class:`Snapshot`. Pure, but for :class:`History`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from modelpool.documents import Assignment, Heartbeat, MeasuredModel, Stat
from modelpool.jobs import Lane
from modelpool.queue.port import ModelDepth
from modelpool.resources.catalog import slots_of
from modelpool.resources.models import Model
from modelpool.resources.spec import ModelPool
from modelpool.slots import ObservedSlot, SlotPhase
from modelpool.work import FIXED_SECONDS, megapixel_steps
from modelpool_operator.demand.port import Demand
from modelpool_operator.history import History
from modelpool_operator.planner import ModelFacts, SlotFacts, Snapshot, TierFacts
from modelpool_operator.planner.forecast import blended_rate, pessimistic

# Until measured: what a disk, and a copy over the bus, may be expected to do.
COLD_FIXED_SECONDS, COLD_BYTES_PER_SECOND = 2.0, 1e9
WARM_FIXED_SECONDS, WARM_BYTES_PER_SECOND = 0.2, 8e9


@dataclass(frozen=True, slots=True)
class Observation:
    """One look at everything; ``now`` in Unix milliseconds."""

    now: int
    heartbeats: Mapping[str, Heartbeat] = field(default_factory=dict)
    assignments: Mapping[str, Assignment] = field(default_factory=dict)
    depths: Mapping[str, ModelDepth] = field(default_factory=dict)
    demand: Demand = field(default_factory=Demand)
    runtime: Mapping[str, ObservedSlot] = field(default_factory=dict)


def snapshot_of(pool: ModelPool, seen: Observation, history: History) -> Snapshot:
    """Take the observation into ``history`` and build the planner's input."""
    measured = _measured(seen.heartbeats)
    sizes = {model.name: _Sizes(model, measured.get(model.name)) for tier in pool.spec.tiers for model in tier.models}
    history.keep(
        {slot.slot for tier in pool.spec.tiers for slot in slots_of(pool, tier)},
        {model.name: model.source.model_dump_json() for tier in pool.spec.tiers for model in tier.models},
        seen.now,
    )
    history.absorb(
        seen.now,
        seen.heartbeats,
        seen.assignments,
        seen.depths,
        seen.demand,
        {name: size.cold_load for name, size in sizes.items()},
    )
    tiers, slots, models = [], [], []
    for tier in pool.spec.tiers:
        of_tier = slots_of(pool, tier)
        tiers.append(
            TierFacts(
                name=tier.name,
                policy=tier.policy,
                models=tuple(model.name for model in tier.models),
                slots=tuple(slot.slot for slot in of_tier),
                idle_seconds=tier.idle_seconds,
                lend=tier.lend,
            )
        )
        models += [_model_facts(tier.name, model.name, sizes[model.name], seen, history) for model in tier.models]
        slots += [
            _slot_facts(slot.slot, tier.name, slot.vram_bytes, slot.host_memory_bytes, seen, history)
            for slot in of_tier
        ]
    return Snapshot(seen.now, tuple(tiers), tuple(slots), tuple(models), pool.spec.rebalance, history.failed())


class _Sizes:
    """A model's figures: measured where they are, from the spec where not."""

    def __init__(self, model: Model, measured: MeasuredModel | None) -> None:
        found = measured or MeasuredModel()
        self.weights = found.weights_bytes or model.weights_bytes
        self.activations = found.activations_bytes or model.activations_bytes
        self.cold_load = _duration(found.cold_to_hot_seconds, COLD_FIXED_SECONDS + self.weights / COLD_BYTES_PER_SECOND)
        self.warm_load = min(
            self.cold_load,
            _duration(found.warm_to_hot_seconds, WARM_FIXED_SECONDS + self.weights / WARM_BYTES_PER_SECOND),
        )
        usual = model.defaults
        size = megapixel_steps(usual.width, usual.height, usual.steps, usual.frames, usual.guidance)
        pace = found.seconds_per_megapixel_step
        self.service = FIXED_SECONDS + size * (pace.mean if pace is not None else model.seconds_per_megapixel_step)


def _duration(stat: Stat | None, otherwise: float) -> float:
    return pessimistic(stat.mean, stat.deviation) if stat is not None else otherwise


def _measured(heartbeats: Mapping[str, Heartbeat]) -> dict[str, MeasuredModel]:
    """Over all slots: the largest size, the slowest load, the pace of whoever has measured most."""
    by_model: dict[str, list[MeasuredModel]] = {}
    for heartbeat in heartbeats.values():
        for name, figures in heartbeat.measured.items():
            by_model.setdefault(name, []).append(figures)
    return {
        name: MeasuredModel(
            weights_bytes=max((f.weights_bytes for f in figures if f.weights_bytes), default=None),
            activations_bytes=max((f.activations_bytes for f in figures if f.activations_bytes), default=None),
            cold_to_hot_seconds=_slowest([f.cold_to_hot_seconds for f in figures]),
            warm_to_hot_seconds=_slowest([f.warm_to_hot_seconds for f in figures]),
            seconds_per_megapixel_step=max(
                (f.seconds_per_megapixel_step for f in figures if f.seconds_per_megapixel_step is not None),
                key=lambda stat: stat.count,
                default=None,
            ),
        )
        for name, figures in by_model.items()
    }


def _slowest(stats: list[Stat | None]) -> Stat | None:
    return max(
        (stat for stat in stats if stat is not None and stat.count),
        key=lambda stat: pessimistic(stat.mean, stat.deviation),
        default=None,
    )


def _model_facts(tier: str, name: str, sizes: _Sizes, seen: Observation, history: History) -> ModelFacts:
    depth = seen.depths.get(name, ModelDepth())
    recent, long_rate = seen.demand.recent.get(name, 0.0), seen.demand.long_term.get(name, 0.0)
    return ModelFacts(
        name=name,
        tier=tier,
        weights=sizes.weights,
        activations=sizes.activations,
        cold_load=sizes.cold_load,
        warm_load=sizes.warm_load,
        service=sizes.service,
        queued=depth.queued,
        queued_paid=depth.by_lane.get(Lane.PAID, 0),
        queued_work=depth.queued_work,
        running=depth.running,
        oldest_at=depth.oldest_enqueued_at,
        rate=blended_rate(recent, long_rate),
        long_rate=long_rate,
        used_at=history.used_at.get(name, 0),
        left_at=history.left_at.get(name, 0),
    )


def _slot_facts(name: str, tier: str, vram: int, host_memory: int, seen: Observation, history: History) -> SlotFacts:
    heartbeat, assignment, found = seen.heartbeats.get(name), seen.assignments.get(name), seen.runtime.get(name)
    # A heartbeat outlives its worker by some seconds; the runtime knows at once.
    ended = found is not None and found.phase in (SlotPhase.RESTARTING, SlotPhase.FAILED)
    alive = heartbeat is not None and not heartbeat.draining and not ended
    return SlotFacts(
        name=name,
        tier=tier,
        vram=vram,
        host_memory=host_memory,
        alive=alive,
        starting=not alive and found is not None and found.phase in (SlotPhase.STARTING, SlotPhase.READY),
        assigned=assignment.hot if assignment is not None else None,
        assigned_warm=assignment.warm if assignment is not None else (),
        hot=heartbeat.hot if heartbeat is not None else (),
        warm=heartbeat.warm if heartbeat is not None else (),
        batch=heartbeat.batch.model if heartbeat is not None and heartbeat.batch is not None else None,
        hot_since=history.hot_since(name),
    )
