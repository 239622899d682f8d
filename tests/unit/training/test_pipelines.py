"""Two steps of every kind of stage, and the folders they leave: loaded and run as any other model is."""

from pathlib import Path

import numpy as np
import pytest

from modelpool_training.generate import load_pipeline, make_clips, make_pictures
from modelpool_training.plan import Plan
from modelpool_training.train import train

BRIEF = Plan(
    drawings=32,
    clips=4,
    autoencoder_steps=1,
    text_steps=1,
    primary_steps=1,
    style_steps=1,
    video_steps=1,
)

# numpy 2 about a torch tensor that diffusers' Euler scheduler hands it
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")


@pytest.mark.slow
@pytest.mark.timeout(300)  # three processes that import torch, and every kind of stage
def test_trained_folders_load_and_run(tmp_path: Path) -> None:
    work, out = tmp_path / "work", tmp_path / "models"
    train(["shapes-neon", "shapes-motion"], work, out, BRIEF)
    assert sorted(folder.name for folder in out.iterdir()) == ["shapes-motion", "shapes-neon"]
    assert {file.suffix for file in out.rglob("*") if file.is_file()} == {".json", ".safetensors"}
    pipeline = load_pipeline(out / "shapes-neon")
    one, other = make_pictures(pipeline, ["a red star", ""], 7, steps=2)
    (alone,) = make_pictures(pipeline, ["a red star"], 7, steps=2)
    assert one.shape == other.shape == (64, 64, 3)
    assert np.abs(one.astype(int) - alone).max() <= 1
    (clip,) = make_clips(load_pipeline(out / "shapes-motion"), [one], 7)
    assert np.stack(clip).shape == (8, 64, 64, 3)
