import pytest
import torch

from modelpool_training.autoencoder import cutting_corners, new_autoencoder, set_spread, shape_loss
from modelpool_training.pictures import draw_set, encode
from modelpool_training.vocabulary import PLACES

MIDDLES = {"left": (17, 32), "right": (47, 32), "top": (32, 17), "bottom": (32, 47), "center": (32, 32)}


@pytest.mark.parametrize(
    ("place", "corner"),
    [("left", [0, 16]), ("right", [32, 16]), ("top", [16, 0]), ("bottom", [16, 32]), ("center", [16, 16])],
)
def test_cuttings_have_the_shape_in_their_middle(place: str, corner: list[int]) -> None:
    assert cutting_corners(torch.tensor([MIDDLES[place]]).float(), torch.zeros(1, 2)).tolist() == [corner]


def test_shifted_cuttings_keep_to_the_tiles_and_within_the_picture() -> None:
    generator = torch.Generator().manual_seed(1)
    middles = torch.tensor([MIDDLES[place] for place in PLACES] * 20).float()
    corners = cutting_corners(middles, 16 * torch.rand(len(middles), 2, generator=generator) - 8)
    assert set(corners.flatten().tolist()) == {0, 8, 16, 24, 32}


def test_a_pixel_of_a_shape_counts_several_times() -> None:
    signal, covers = torch.zeros(1, 3, 8, 8), torch.zeros(1, 1, 8, 8, dtype=torch.bool)
    covers[..., 0, 0] = True
    on_shape, beside = signal.clone(), signal.clone()
    on_shape[..., 0, 0] = 1
    beside[..., 0, 1] = 1
    assert shape_loss(signal, signal, covers) == 0
    assert shape_loss(on_shape, signal, covers) == pytest.approx(4 * shape_loss(beside, signal, covers))


def test_spread_of_the_latents_becomes_one_and_the_pictures_stay() -> None:
    torch.manual_seed(1)
    autoencoder = new_autoencoder().requires_grad_(False).eval()
    pixels = draw_set("flat", 8, seed=1).pixels
    before = encode(autoencoder, pixels)
    decoded = autoencoder.decode(before).sample
    posterior_before = autoencoder.encode(pixels / 127.5 - 1).latent_dist
    set_spread(autoencoder, pixels)
    after = encode(autoencoder, pixels)
    assert after.std() == pytest.approx(1, abs=1e-4)
    assert before.std() != pytest.approx(1, abs=0.1)
    assert torch.allclose(autoencoder.decode(after).sample, decoded, atol=1e-4)
    posterior = autoencoder.encode(pixels / 127.5 - 1).latent_dist
    assert torch.allclose(posterior.std / posterior_before.std, 1 / before.std(), rtol=1e-3)
