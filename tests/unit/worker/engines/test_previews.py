from __future__ import annotations

import numpy as np
import pytest

from modelpool_worker.engines.previews import LatentColours


def test_colours_that_are_linear_in_the_latents_are_found() -> None:
    random = np.random.default_rng(3)
    latents = random.normal(size=(8, 8, 4)).astype(np.float32)
    colours = np.clip(128 + latents @ random.normal(scale=15, size=(4, 3)), 0, 255)
    picture = colours.round().astype(np.uint8).repeat(4, axis=0).repeat(4, axis=1)
    learned = LatentColours()
    learned.learn(latents, picture)
    assert learned.known
    preview = learned.preview(latents)
    assert preview.shape == (1, 8, 8, 3)
    assert np.abs(preview[0].astype(float) - colours).mean() < 2


def test_nothing_is_known_before_a_picture_was_seen() -> None:
    assert not LatentColours().known
    with pytest.raises(RuntimeError):
        LatentColours().preview(np.zeros((4, 4, 4), np.float32))


def test_broken_latents_give_a_picture_all_the_same() -> None:
    learned = LatentColours()
    learned.learn(np.random.default_rng(1).normal(size=(4, 4, 4)).astype(np.float32), np.full((8, 8, 3), 100, np.uint8))
    with np.errstate(invalid="ignore"):
        assert learned.preview(np.full((4, 4, 4), np.nan, np.float32)).dtype == np.uint8
