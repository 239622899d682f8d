"""When a pool is ready, and what stands in the way. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from modelpool.documents import Catalog, Heartbeat
from modelpool.resources.spec import Policy
from modelpool.resources.status import ModelPoolStatus, ModelState


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


def awaited(
    catalog: Catalog, heartbeats: Mapping[str, Heartbeat], status: ModelPoolStatus | None
) -> list[tuple[str, str]]:
    """What is :func:`missing` and may be there soon: not what could not be loaded and is left alone for a while."""
    failed = _failed(status)
    return [
        (slot, model)
        for slot, model in missing(catalog, heartbeats)
        if model not in failed or slot not in heartbeats or heartbeats[slot].loading is not None
    ]


def hopeless(
    catalog: Catalog, heartbeats: Mapping[str, Heartbeat], status: ModelPoolStatus | None
) -> Mapping[str, str]:
    """Why each model cannot be loaded, when that is so of all of them and nothing is served; empty while there is hope.

    A model from a bucket is never given up: the bucket may answer the next time.
    """
    failed = _failed(status)
    working = any(beat.hot or beat.loading is not None for beat in heartbeats.values())
    if working or silent(catalog, heartbeats):
        return {}
    if any(model.source.is_remote or model.name not in failed for model in catalog.models):
        return {}
    return failed


def _failed(status: ModelPoolStatus | None) -> dict[str, str]:
    """Why, of models that could not be loaded in some slot and that the operator has in none, or in others."""
    return {
        model.name: model.last_failure
        for model in (status.models if status is not None else ())
        if model.last_failure is not None and model.state in (ModelState.FAILED, ModelState.HOT)
    }


def failures(heartbeats: Mapping[str, Heartbeat], status: ModelPoolStatus | None) -> dict[tuple[str, str], str]:
    """What could not be loaded or went wrong in a slot, one line each, by what makes it the same failure.

    A worker forgets a failed load as soon as its assignment changes, which the failure itself brings about; the
    operator remembers it until the model is hot.
    """
    lines: dict[tuple[str, str], str] = {}
    for slot, heartbeat in sorted(heartbeats.items()):
        for model, failure in sorted(heartbeat.failed.items()):
            lines.setdefault((model, failure.message), f"{slot}: {model} could not be loaded: {failure.message}")
        if heartbeat.error is not None:
            lines.setdefault((slot, heartbeat.error.message), f"{slot}: {heartbeat.error.message}")
    for told in status.models if status is not None else ():
        if told.last_failure is not None:
            why = f"{told.name} could not be loaded: {told.last_failure}"
            lines.setdefault((told.name, told.last_failure), why)
    return lines
