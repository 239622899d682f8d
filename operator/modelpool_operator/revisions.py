"""A new revision of a model is loaded slot by slot. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from modelpool.documents import Assignment, Catalog, CatalogModel, Heartbeat


def with_turns(catalog: Catalog, heartbeats: Mapping[str, Heartbeat], assignments: Mapping[str, Assignment]) -> Catalog:
    """The catalog, in which all slots but the one whose turn it is go on serving the older revisions that they hold.

    A slot that has none left and is still loading, or has failed to, keeps the turn: a revision that cannot be loaded costs one
    slot, not all.
    """
    staying: dict[str, dict[str, str]] = {}
    for model in catalog.models:
        outdated = list(_outdated(catalog, model, heartbeats))
        under_way = any(_lacks(model.name, slot.slot, heartbeats, assignments) for slot in catalog.slots)
        for slot in outdated if under_way else outdated[1:]:
            staying.setdefault(slot, {})[model.name] = heartbeats[slot].revisions[model.name]
    if not staying:
        return catalog
    slots = tuple(slot.model_copy(update={"stays": staying.get(slot.slot, {})}) for slot in catalog.slots)
    return catalog.model_copy(update={"slots": slots})


def reload_of(catalog: Catalog, heartbeats: Mapping[str, Heartbeat]) -> str:
    """Models of which some slots serve an older revision, and how many slots do; empty where there are none."""
    found = {model.name: len(list(_outdated(catalog, model, heartbeats))) for model in catalog.models}
    return ", ".join(f"{name} ({count} to go)" for name, count in found.items() if count)


def _outdated(catalog: Catalog, model: CatalogModel, heartbeats: Mapping[str, Heartbeat]) -> Iterator[str]:
    """Slots that serve an older revision, in the order of the catalog."""
    for slot in catalog.slots:
        beat = heartbeats.get(slot.slot)
        if beat is not None and not beat.draining and model.name in beat.hot:
            revision = beat.revisions.get(model.name, model.revision)
            if revision != model.revision:
                yield slot.slot


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
