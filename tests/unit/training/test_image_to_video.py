import pytest
import torch
from torch import nn

from modelpool_training.image_to_video import convolve_time_flat, draw_clips
from modelpool_training.motion import FRAMES


def test_flat_convolutions_across_time_give_the_same_sums() -> None:
    torch.manual_seed(1)
    layers = nn.Sequential(nn.Conv3d(3, 5, (3, 1, 1), padding=(1, 0, 0)), nn.Conv3d(5, 2, 1))
    given = torch.randn(2, 3, 8, 4, 6, requires_grad=True)
    usual = layers(given)
    (usual_slope,) = torch.autograd.grad(usual.square().sum(), given)
    convolve_time_flat(layers)
    flat = layers(given)
    (flat_slope,) = torch.autograd.grad(flat.square().sum(), given)
    assert torch.allclose(flat, usual, atol=1e-6)
    assert torch.allclose(flat_slope, usual_slope, atol=1e-5)


def test_clips_tell_which_latents_show_the_shape_in_each_frame() -> None:
    clips = draw_clips(4, seed=1)
    assert clips.pixels.shape == (4, FRAMES, 3, 64, 64)
    assert clips.covers.shape == (4, FRAMES, 1, 16, 16)
    assert clips.motions.tolist() == pytest.approx(draw_clips(4, seed=1).motions.tolist())
    changed = (clips.pixels[0, 0] != clips.pixels[0, -1]).any(dim=0)  # plain, so only the shape's pixels change
    shown = (clips.covers[0, 0] | clips.covers[0, -1])[0].repeat_interleave(4, 0).repeat_interleave(4, 1)
    assert changed.any()
    assert not (changed & ~shown).any()
