from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL

from modelpool_training import pictures
from modelpool_training.autoencoder import new_autoencoder
from modelpool_training.drawing import draw
from modelpool_training.pictures import Drawings, Encoded, cover_of_latents, draw_set, encode, encoded_set
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


@pytest.fixture
def draws(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The styles that sets were drawn in."""
    drawn: list[str] = []

    def draw_and_note(style: str, count: int, seed: int) -> Drawings:
        drawn.append(style)
        return draw_set(style, count, seed)

    monkeypatch.setattr(pictures, "draw_set", draw_and_note)
    return drawn


def same(one: Encoded, other: Encoded) -> bool:
    return torch.equal(one.latents, other.latents) and torch.equal(one.covers, other.covers)


def an_autoencoder(seed: int = 0) -> AutoencoderKL:
    torch.manual_seed(seed)
    return new_autoencoder()


def test_an_encoded_set_is_made_once(tmp_path: Path, draws: list[str]) -> None:
    one = encoded_set(an_autoencoder(), "neon", 4, 2, tmp_path)
    again = encoded_set(an_autoencoder(), "neon", 4, 2, tmp_path)
    assert draws == ["neon"]
    assert same(one, again)
    assert one.scenes == again.scenes
    assert [file.name for file in tmp_path.iterdir()] == ["latents-neon.pt"]


@pytest.mark.parametrize("left", [0.0, 0.3, 0.99])
def test_a_set_of_which_half_was_written_is_made_anew(tmp_path: Path, draws: list[str], left: float) -> None:
    whole = encoded_set(an_autoencoder(), "neon", 4, 2, tmp_path)
    file = tmp_path / "latents-neon.pt"
    content = file.read_bytes()
    file.write_bytes(content[: int(left * len(content))])
    assert same(encoded_set(an_autoencoder(), "neon", 4, 2, tmp_path), whole)
    assert same(encoded_set(an_autoencoder(), "neon", 4, 2, tmp_path), whole)
    assert draws == ["neon"] * 2


def test_a_set_that_another_autoencoder_has_encoded_is_made_anew(tmp_path: Path) -> None:
    foreign = encoded_set(an_autoencoder(1), "neon", 4, 2, tmp_path)
    ours = encoded_set(an_autoencoder(), "neon", 4, 2, tmp_path)
    assert not same(ours, foreign)
    assert torch.equal(ours.latents, encode(an_autoencoder(), draw_set("neon", 4, 2).pixels))


def test_a_set_of_another_seed_or_an_older_form_is_made_anew(tmp_path: Path, draws: list[str]) -> None:
    one = encoded_set(an_autoencoder(), "neon", 4, 2, tmp_path)
    encoded_set(an_autoencoder(), "neon", 4, 3, tmp_path)
    torch.save((one.latents, one.covers), tmp_path / "latents-neon.pt")
    assert same(encoded_set(an_autoencoder(), "neon", 4, 2, tmp_path), one)
    assert draws == ["neon"] * 3
