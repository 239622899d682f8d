import numpy as np
import pytest

from modelpool_training.drawing import SIZE, Pose, draw, draw_at
from modelpool_training.reading import read_picture
from modelpool_training.vocabulary import STYLES, Scene, all_scenes


@pytest.mark.parametrize("style", STYLES)
def test_drawings_are_read_as_what_they_show(style: str) -> None:
    rng = np.random.default_rng(4)
    scenes = [all_scenes()[int(index)] for index in rng.permutation(len(all_scenes()))[:80]]
    for scene in scenes:
        found = read_picture(draw(scene, style, rng), style)
        assert found is not None
        assert found.scene == scene


@pytest.mark.parametrize("style", STYLES)
def test_noise_on_a_drawing_does_not_change_what_is_read(style: str) -> None:
    rng = np.random.default_rng(5)
    scenes = all_scenes()[::37]
    right = 0
    for scene in scenes:
        noisy = draw(scene, style, rng) + rng.normal(0, 5, (SIZE, SIZE, 3))
        found = read_picture(np.clip(noisy, 0, 255).astype(np.uint8), style)
        right += found is not None and found.scene == scene
    assert right >= 0.9 * len(scenes)


@pytest.mark.parametrize("style", STYLES)
def test_empty_picture_reads_as_nothing(style: str) -> None:
    assert read_picture(np.full((SIZE, SIZE, 3), 120, np.uint8), style) is None


def test_speck_is_no_shape() -> None:
    picture = np.full((SIZE, SIZE, 3), 20, np.uint8)
    picture[30:33, 30:33] = 255
    assert read_picture(picture, "flat") is None


def test_middle_of_the_shape_is_found_to_the_pixel() -> None:
    for x, y in ((20.0, 40.0), (44.0, 25.0)):
        found = read_picture(draw_at(Scene("circle", "red", "left", "white"), "flat", Pose(x, y, 12), 0), "flat")
        assert found is not None
        assert abs(found.x - x) <= 1
        assert abs(found.y - y) <= 1
