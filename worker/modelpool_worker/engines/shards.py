"""Weights that are split over several files: whether every file that their index names is there and can be read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open

_INDEXES = "*.safetensors.index*.json"  # of a variant: model.safetensors.index.fp16.json


def damage(folder: Path) -> str | None:
    """What the first broken one of a pipeline's sharded weights lacks, as the rest of "the folder …"; None: nothing.

    Reads headers only: they tell which tensors a file holds, and how long it must be.
    """
    return next((found for index in sorted(folder.rglob(_INDEXES)) for found in _damages(index, folder)), None)


def _damages(index: Path, folder: Path) -> Iterator[str]:
    named = index.relative_to(folder)
    try:
        expected = _tensors_by_shard(json.loads(index.read_text()))
    except (OSError, ValueError):
        yield f"has the weights' index {named}, which cannot be read"
        return
    for shard, tensors in sorted(expected.items()):
        file = index.parent / shard
        shown = named.parent / shard
        if file.name != shard or file.suffix != ".safetensors":
            yield f"has the weights' index {named}, which names {shard!r}: no safetensors file beside it"
        elif not file.is_file():
            yield f"lacks {shown}, which {named.name} names"
        elif problem := _unreadable(file, tensors):
            yield f"has {shown}, which {problem}"


def _tensors_by_shard(index: object) -> Mapping[str, set[str]]:
    """By file name: the tensors that an index looks for in it.

    :raises ValueError: it is no index.
    """
    weights = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(weights, dict) or not weights:
        raise ValueError("no weight_map")
    expected: dict[str, set[str]] = {}
    for tensor, shard in weights.items():
        expected.setdefault(str(shard), set()).add(tensor)
    return expected


def _unreadable(file: Path, tensors: set[str]) -> str | None:
    try:
        with safe_open(file, framework="numpy") as opened:
            lost = tensors - set(opened.keys())
    except (SafetensorError, OSError) as error:
        return f"cannot be read: {error}"
    return f"lacks the tensor {min(lost)} and {len(lost) - 1} more" if lost else None
