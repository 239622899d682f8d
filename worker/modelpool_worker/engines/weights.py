"""Weights on disk: which files a pipeline reads, and whether each of them, and each that an index names, is whole."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Set
from pathlib import Path

from safetensors import SafetensorError, safe_open

INDEX = "model_index.json"
_HALF = re.compile(r"\.fp16[.-]")
_INDEXES = "*.safetensors.index*.json"  # of a variant: model.safetensors.index.fp16.json


def variant_of(folder: Path) -> str | None:
    """``fp16`` where a folder holds its weights only so: ``x.fp16.safetensors``, ``x.fp16-00001-of-00002.safetensors``."""
    weights = [file.name for file in folder.rglob("*.safetensors")]
    halved = [name for name in weights if _HALF.search(name)]
    return "fp16" if halved and len(halved) == len(weights) else None


def damage(folder: Path) -> str | None:
    """What the first broken one of a pipeline's weights lacks, as the rest of "the folder …"; None: nothing.

    Reads headers only: they tell which tensors a file holds, and how long it must be.
    """
    return next(_damages(folder), None)


def _damages(folder: Path) -> Iterator[str]:
    for index in sorted(folder.rglob(_INDEXES)):
        yield from _damages_of_shards(index, folder)
    for file in _read_files(folder):
        if problem := _unreadable(file):
            yield f"has {file.relative_to(folder)}, which {problem}"


def _read_files(folder: Path) -> Iterator[Path]:
    """The weights of the components that the pipeline has. What is of another variant may be half there: nobody reads it."""
    variant = variant_of(folder)
    for component in _components(folder):
        for file in sorted((folder / component).glob("*.safetensors")):
            if variant is not None or "." not in file.stem:
                yield file


def _components(folder: Path) -> list[str]:
    try:
        index = json.loads((folder / INDEX).read_text())
    except (OSError, ValueError):
        return []
    entries = index.items() if isinstance(index, dict) else ()
    # An entry is [library, class]; one that is left out is [null, null].
    return sorted(name for name, said in entries if isinstance(said, list) and None not in said)


def _damages_of_shards(index: Path, folder: Path) -> Iterator[str]:
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


def _unreadable(file: Path, tensors: Set[str] = frozenset()) -> str | None:
    try:
        with safe_open(file, framework="numpy") as opened:
            lost = tensors - set(opened.keys())
    except (SafetensorError, OSError) as error:
        return f"cannot be read: {error}"
    return f"lacks the tensor {min(lost)} and {len(lost) - 1} more" if lost else None
