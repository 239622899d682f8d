from __future__ import annotations

from pathlib import Path

import pytest

from modelpool.errors import ModelLoadFailed
from modelpool_worker.engines.files import folder_of, require_loadable


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "unet").mkdir()
    (tmp_path / "model_index.json").write_text("{}")
    (tmp_path / "unet" / "diffusion_pytorch_model.safetensors").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("file:///models/flat", "/here/flat"),
        ("file:///models/family/flat", "/here/family/flat"),
        ("file:///models/with%20space", "/here/with space"),
        ("file:///elsewhere/flat", "/elsewhere/flat"),
    ],
)
def test_models_are_found_where_this_machine_keeps_them(uri: str, expected: str) -> None:
    assert folder_of(uri, Path("/here")) == Path(expected)


@pytest.mark.parametrize("uri", ["file:///models/../etc", "file:///models/%2e%2e/etc", "s3://bucket/model"])
def test_other_sources_are_refused(uri: str) -> None:
    with pytest.raises(ModelLoadFailed):
        folder_of(uri, Path("/here"))


def test_safetensors_and_text_are_safe(folder: Path) -> None:
    require_loadable(folder)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "x.pt", "x.CKPT", "x.pkl", "unet/model.py", "x.pickle", "x.npy"])
def test_files_that_could_run_code_are_refused(folder: Path, name: str) -> None:
    (folder / name).touch()
    with pytest.raises(ModelLoadFailed, match="refused"):
        require_loadable(folder)


def test_a_missing_shard_of_the_weights_is_named(folder: Path) -> None:
    (folder / "unet" / "model.safetensors.index.json").write_text('{"weight_map": {"a": "model-1.safetensors"}}')
    with pytest.raises(ModelLoadFailed, match=r"lacks unet/model-1\.safetensors"):
        require_loadable(folder)


def test_weights_that_were_cut_short_are_named(folder: Path) -> None:
    (folder / "model_index.json").write_text('{"unet": ["diffusers", "UNet2DConditionModel"]}')
    with pytest.raises(ModelLoadFailed, match=r"has unet/diffusion_pytorch_model\.safetensors, which cannot be read"):
        require_loadable(folder)


def test_a_folder_without_an_index_is_no_pipeline(folder: Path) -> None:
    (folder / "model_index.json").unlink()
    with pytest.raises(ModelLoadFailed, match=r"model_index\.json is missing"):
        require_loadable(folder)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadFailed, match="nowhere"):
        require_loadable(tmp_path / "nowhere")
