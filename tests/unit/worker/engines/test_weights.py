from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from modelpool_worker.engines.weights import damage, variant_of

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


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """A pipeline of two components, each with its weights in one file, that leaves a third one out."""
    index = {"_class_name": "X", "unet": ["diffusers", "U"], "vae": ["diffusers", "V"], "checker": [None, None]}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    for component in ("unet", "vae", "checker"):
        (tmp_path / component).mkdir()
        save_file({"a": np.zeros((64, 64), np.float32)}, tmp_path / component / "model.safetensors")
    return tmp_path


def test_whole_files_have_no_damage(whole: Path) -> None:
    assert damage(whole) is None


@pytest.mark.parametrize("size", [0, 4, 1000, -1])
def test_weights_in_one_file_that_were_cut_short_are_named(whole: Path, size: int) -> None:
    file = whole / "vae" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:size])
    assert (damage(whole) or "").startswith("has vae/model.safetensors, which cannot be read: ")


def test_a_pointer_in_place_of_the_weights_is_named(whole: Path) -> None:
    (whole / "unet" / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\nsize 9\n")
    assert (damage(whole) or "").startswith("has unet/model.safetensors, which cannot be read: ")


@pytest.mark.parametrize(
    "name", ["checker/model.safetensors", "unet/model.fp16.safetensors", "x.safetensors", "other/model.safetensors"]
)
def test_what_the_pipeline_does_not_read_may_be_half_there(whole: Path, name: str) -> None:
    (whole / "other").mkdir()
    (whole / name).write_bytes(b"")
    assert damage(whole) is None


def test_half_precision_files_are_looked_at_where_there_are_no_others(whole: Path) -> None:
    for file in sorted(whole.rglob("*.safetensors")):
        file.rename(file.with_name("model.fp16.safetensors"))
    assert damage(whole) is None
    (whole / "unet" / "model.fp16.safetensors").write_bytes(b"")
    assert (damage(whole) or "").startswith("has unet/model.fp16.safetensors, which cannot be read: ")


def test_half_precision_files_are_taken_where_there_are_no_others(whole: Path) -> None:
    assert variant_of(whole) is None
    for file in sorted(whole.rglob("*.safetensors")):
        save_file({"a": np.zeros(1, np.float16)}, file.with_name("model.fp16.safetensors"))
    assert variant_of(whole) is None
    for file in whole.rglob("model.safetensors"):
        file.unlink()
    assert variant_of(whole) == "fp16"


def test_half_precision_in_shards_is_known_by_their_names(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"model.fp16-0000{number}-of-00002.safetensors").touch()
    assert variant_of(tmp_path) == "fp16"
