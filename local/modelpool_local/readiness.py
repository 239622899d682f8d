"""When a pool is ready, and what stands in the way. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from modelpool.documents import Catalog, Heartbeat
from modelpool.resources.spec import Policy


def missing(catalog: Catalog, heartbeats: Mapping[str, Heartbeat]) -> list[tuple[str, str]]:
    """``(slot, model)`` of every Always model that is not hot yet where it belongs."""
    return [
        (slot.slot, model.name)
        for slot in catalog.slots
        for model in catalog.models
        if model.policy is Policy.ALWAYS and model.tier == slot.tier
        if slot.slot not in heartbeats or model.name not in heartbeats[slot.slot].hot
    ]


def silent(catalog: Catalog, heartbeats: Mapping[str, Heartbeat]) -> list[str]:
    """Slots whose worker has not reported yet."""
    return [slot.slot for slot in catalog.slots if slot.slot not in heartbeats]


def failures(heartbeats: Mapping[str, Heartbeat]) -> Iterator[str]:
    """What workers report as failed, one line each."""
    for slot, heartbeat in sorted(heartbeats.items()):
        for model, failure in sorted(heartbeat.failed.items()):
            yield f"{slot}: {model} could not be loaded: {failure.message}"
        if heartbeat.error is not None:
            yield f"{slot}: {heartbeat.error.message}"
