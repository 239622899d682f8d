import numpy as np
import pytest
import torch

from modelpool_training.drawing import draw
from modelpool_training.pictures import cover_of_latents, draw_set
from modelpool_training.vocabulary import STYLES, training_scenes


@pytest.mark.parametrize("style", STYLES)
def test_a_set_depends_on_its_seed_alone(style: str) -> None:
    one, same, other = (draw_set(style, 8, seed) for seed in (1, 1, 2))
    assert one.scenes == same.scenes
    assert torch.equal(one.pixels, same.pixels)
    assert not torch.equal(one.pixels, other.pixels)


def test_a_set_has_the_pictures_that_drawing_makes() -> None:
    drawings = draw_set("mosaic", 1, seed=3)
    rng = np.random.default_rng([3, STYLES.index("mosaic")])
    rng.permutation(len(training_scenes()))
    picture = draw(drawings.scenes[0], "mosaic", rng)
    assert np.array_equal(drawings.pixels[0].permute(1, 2, 0).numpy(), picture)


def test_outside_of_covers_a_plain_picture_is_background() -> None:
    drawings = draw_set("flat", 40, seed=1)
    for pixels, covered, middle in zip(drawings.pixels, drawings.covers, drawings.middles, strict=True):
        background = pixels[:, :1, :1]
        differs = (pixels != background).any(dim=0)
        assert not (differs & ~covered[0]).any()
        assert 0.5 < differs.sum() / covered.sum() <= 1
        assert covered[0, int(middle[1]), int(middle[0])]


def test_latents_tell_of_the_shape_where_one_of_their_pixels_is_covered() -> None:
    covers = torch.zeros(1, 1, 64, 64, dtype=torch.bool)
    covers[0, 0, 7, 40] = True
    assert cover_of_latents(covers).nonzero().tolist() == [[0, 0, 1, 10]]
