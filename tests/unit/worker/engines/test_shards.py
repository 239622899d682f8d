from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from modelpool_worker.engines.shards import damage

SHARDS = {
    "model-00001-of-00002.safetensors": ("a", "b"),
    "model-00002-of-00002.safetensors": ("c",),
}
SECOND = "unet/model-00002-of-00002.safetensors"
INDEX = "unet/model.safetensors.index.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "unet").mkdir()
    for shard, tensors in SHARDS.items():
        save_file({tensor: np.zeros((4, 4), np.float32) for tensor in tensors}, tmp_path / "unet" / shard)
    write_index(tmp_path, {tensor: shard for shard, tensors in SHARDS.items() for tensor in tensors})
    return tmp_path


def write_index(folder: Path, weights: object) -> None:
    (folder / INDEX).write_text(json.dumps({"metadata": {"total_size": 192}, "weight_map": weights}))


def test_whole_shards_have_no_damage(folder: Path) -> None:
    assert damage(folder) is None


def test_weights_in_one_file_are_not_looked_at(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    assert damage(tmp_path) is None


def test_a_missing_shard_is_named(folder: Path) -> None:
    (folder / SECOND).unlink()
    assert damage(folder) == f"lacks {SECOND}, which model.safetensors.index.json names"


@pytest.mark.parametrize("content", [b"", b"\0" * 64, b"\xff" * 64], ids=["empty", "zeros", "noise"])
def test_a_shard_that_is_no_safetensors_file_is_named(folder: Path, content: bytes) -> None:
    (folder / SECOND).write_bytes(content)
    assert (damage(folder) or "").startswith(f"has {SECOND}, which cannot be read: ")


def test_a_shard_that_was_cut_short_is_named(folder: Path) -> None:
    whole = (folder / SECOND).read_bytes()
    (folder / SECOND).write_bytes(whole[:-1])
    assert (damage(folder) or "").startswith(f"has {SECOND}, which cannot be read: ")


def test_a_shard_of_another_model_is_named_with_what_it_lacks(folder: Path) -> None:
    save_file({"other": np.zeros(1, np.float32)}, folder / SECOND)
    assert damage(folder) == f"has {SECOND}, which lacks the tensor c and 0 more"


@pytest.mark.parametrize("name", ["../model.safetensors", "/model.safetensors", "model.bin"])
def test_a_file_elsewhere_or_of_another_kind_is_no_shard(folder: Path, name: str) -> None:
    write_index(folder, {"a": name})
    assert (damage(folder) or "").startswith(f"has the weights' index {INDEX}, which names {name!r}")


@pytest.mark.parametrize("text", ["no json", "[]", "{}", '{"weight_map": []}', '{"weight_map": {}}'])
def test_an_index_that_is_none_is_named(folder: Path, text: str) -> None:
    (folder / INDEX).write_text(text)
    assert damage(folder) == f"has the weights' index {INDEX}, which cannot be read"


def test_shards_of_a_variant_are_looked_at_too(folder: Path) -> None:
    (folder / INDEX).rename(folder / "unet" / "model.safetensors.index.fp16.json")
    (folder / SECOND).unlink()
    assert damage(folder) == f"lacks {SECOND}, which model.safetensors.index.fp16.json names"
