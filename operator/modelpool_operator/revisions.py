"""A new revision of a model is loaded slot by slot. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from modelpool.documents import Assignment, Catalog, Heartbeat


def with_turns(catalog: Catalog, heartbeats: Mapping[str, Heartbeat], assignments: Mapping[str, Assignment]) -> Catalog:
    """The catalog, in which all slots but the one whose turn it is go on serving the older revisions that they hold.

    A slot that has none left and is still loading, or has failed to, keeps the turn: a revision that cannot be loaded costs one
    slot, not all.
    """
    staying: dict[str, dict[str, str]] = {}
    for model, outdated in _outdated(catalog, heartbeats).items():
        under_way = any(_lacks(model, slot.slot, heartbeats, assignments) for slot in catalog.slots)
        for slot in outdated if under_way else outdated[1:]:
            staying.setdefault(slot, {})[model] = heartbeats[slot].revisions[model]
    if not staying:
        return catalog
    slots = tuple(slot.model_copy(update={"stays": staying.get(slot.slot, {})}) for slot in catalog.slots)
    return catalog.model_copy(update={"slots": slots})


def reload_of(catalog: Catalog, heartbeats: Mapping[str, Heartbeat]) -> str:
    """Models of which some slots serve an older revision, and how many slots do; empty where there are none."""
    found = _outdated(catalog, heartbeats)
    return ", ".join(
        f"{model.name} ({len(found[model.name])} to go)" for model in catalog.models if model.name in found
    )


def _outdated(catalog: Catalog, heartbeats: Mapping[str, Heartbeat]) -> dict[str, list[str]]:
    """By model: the slots that serve an older revision of it, in the order of the catalog; models without any are left out."""
    offered = {model.name: model.revision for model in catalog.models}
    found: dict[str, list[str]] = {}
    for slot in catalog.slots:
        beat = heartbeats.get(slot.slot)
        if beat is None or beat.draining:
            continue
        for model in beat.hot:
            if model in offered and beat.revisions.get(model, offered[model]) != offered[model]:
                found.setdefault(model, []).append(slot.slot)
    return found


def _lacks(model: str, slot: str, heartbeats: Mapping[str, Heartbeat], assignments: Mapping[str, Assignment]) -> bool:
    """Whether a living worker is to hold the model and does not."""
    beat, assignment = heartbeats.get(slot), assignments.get(slot)
    return (
        beat is not None
        and not beat.draining
        and assignment is not None
        and model in assignment.hot
        and model not in beat.hot
    )
