import numpy as np
import pytest

from modelpool_training.drawing import PALETTE, SIZE, Pose, choose_pose, draw, draw_at, filled_mask, outline_points
from modelpool_training.vocabulary import PLACES, SHAPES, STYLES, Scene

SCENE = Scene("star", "yellow", "left", "blue")
MIDDLE = Pose(32.0, 32.0, 13.0)


@pytest.mark.parametrize("style", STYLES)
def test_same_seed_draws_the_same_picture(style: str) -> None:
    one, same, other = (draw(SCENE, style, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert one.shape == (SIZE, SIZE, 3)
    assert one.dtype == np.uint8
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_styles_differ_visibly() -> None:
    pictures = [draw_at(SCENE, style, MIDDLE, 0).astype(float) for style in STYLES]
    for number, one in enumerate(pictures):
        for other in pictures[number + 1 :]:
            assert np.abs(one - other).mean() > 8


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("place", PLACES)
def test_shapes_lie_within_the_picture(shape: str, place: str) -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        corners = outline_points(shape, choose_pose(place, rng))
        assert all(0 < x < SIZE and 0 < y < SIZE for x, y in corners)


def test_masks_of_all_shapes_differ() -> None:
    masks = [filled_mask(shape, MIDDLE) for shape in SHAPES]
    for number, one in enumerate(masks):
        assert 150 < one.sum() < 700
        assert all(np.abs(one - other).sum() > 60 for other in masks[number + 1 :])


def test_flat_style_has_the_palette_colours() -> None:
    picture = draw_at(Scene("square", "red", "center", "blue"), "flat", MIDDLE, 0)
    assert tuple(picture[0, 0]) == PALETTE["blue"]
    assert tuple(picture[32, 32]) == PALETTE["red"]


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown style"):
        draw_at(SCENE, "baroque", MIDDLE, 0)
    with pytest.raises(ValueError, match="unknown shape"):
        outline_points("dodecahedron", MIDDLE)
