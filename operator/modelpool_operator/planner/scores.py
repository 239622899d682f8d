"""What a placement is worth: each score one short, pure function."""

from __future__ import annotations

from modelpool_operator.planner.forecast import chance_of_demand
from modelpool_operator.planner.snapshot import ModelFacts, SlotFacts


def load_seconds(slot: SlotFacts, model: ModelFacts) -> float:
    """Expected seconds until ``model`` is hot in ``slot``; nothing where it has not left yet."""
    if model.name in slot.hot:
        return 0.0
    return model.warm_load if model.name in slot.warm else model.cold_load


def reload_seconds(slot: SlotFacts, model: ModelFacts) -> float:
    """Expected seconds to bring ``model`` back once it has left: from host RAM where that is large enough."""
    return model.warm_load if model.weights <= slot.host_memory else model.cold_load


def eviction_loss(slot: SlotFacts, model: ModelFacts, replicas: int) -> float:
    """Expected job-seconds of waiting per second without this model: λ·L. Nothing while another replica is hot."""
    return 0.0 if replicas > 1 else model.rate * reload_seconds(slot, model)


def keep_value(slot: SlotFacts, model: ModelFacts, replicas: int) -> float:
    """What a byte of VRAM earns by holding this model: λ·L/size."""
    return eviction_loss(slot, model, replicas) / max(model.weights, 1)


def warm_value(model: ModelFacts) -> float:
    """What a byte of host RAM earns by holding this model warm: λ_long·(L_cold − L_warm)/size."""
    return model.long_rate * max(model.cold_load - model.warm_load, 0.0) / max(model.weights, 1)


def exposure(rate: float, load: float, horizon: float) -> float:
    """Expected waiting, in job-seconds within the horizon, if a model is not hot: ``L(1 + λL/2)·P(H)``.

    The first job waits for the whole load, those that come meanwhile for half of it.
    """
    return load * (1 + rate * load / 2) * chance_of_demand(rate, horizon)


def swap_gain(gained: float, lost: float, utilisation: float, load: float, drain: float) -> float:
    """Job-seconds saved by a proactive swap, less the GPU time that it takes from others: ``κ(L + drain)``."""
    return gained - lost - utilisation * (load + drain)
