"""A pool's ``worker.podTemplate`` laid over the pod that modelpool makes.

Mappings merge. Containers, init containers, volumes and image pull secrets merge by name, environment variables by name,
volume mounts by path, ports by name; every other list replaces ours. ``null`` removes a field. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MERGED_BY = {
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "imagePullSecrets": "name",
    "env": "name",
    "volumeMounts": "mountPath",
    "ports": "name",
}
"""By which field the entries of a list are told apart."""
ONE_SOURCE = frozenset({"env", "volumes"})
"""Lists whose entries have one source of many: an entry replaces ours of the same name as a whole."""


def overlay(base: Any, over: Any, field: str = "") -> Any:
    """``over`` laid on ``base``; neither is changed. Laying the same over the result changes nothing."""
    if isinstance(over, Mapping):
        merged = dict(base) if isinstance(base, Mapping) else {}
        for key, value in over.items():
            if value is None:
                merged.pop(key, None)
            else:
                merged[key] = overlay(merged.get(key), value, key)
        return merged
    key_field = MERGED_BY.get(field)
    if key_field is not None and _keyed(over, key_field):
        return _merged(base if _keyed(base, key_field) else [], over, key_field, whole=field in ONE_SOURCE)
    return [overlay(None, entry) for entry in over] if isinstance(over, list | tuple) else over


def _merged(base: list[Any], over: list[Any], key_field: str, *, whole: bool) -> list[Any]:
    """Ours in our order, with theirs laid on, then what only they have; ``whole``: theirs takes the place of ours."""
    entries = {entry[key_field]: entry for entry in base}
    for entry in over:
        key = entry[key_field]
        entries[key] = overlay(None if whole else entries.get(key), entry)
    return list(entries.values())


def _keyed(value: Any, key_field: str) -> bool:
    return isinstance(value, list | tuple) and all(
        isinstance(entry, Mapping) and isinstance(entry.get(key_field), str) for entry in value
    )
