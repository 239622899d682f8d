import numpy as np
import torch

from modelpool_training.motion import MOTION, draw_clip
from modelpool_training.pictures import to_signal
from modelpool_training.video_autoencoder import as_video_autoencoder, edge_weight, new_frame_autoencoder
from modelpool_training.vocabulary import Scene


def test_it_does_just_what_the_frames_one_does() -> None:
    torch.manual_seed(1)
    frames = new_frame_autoencoder().eval()
    video = as_video_autoencoder(frames).eval()
    latents = torch.randn(4, 4, 16, 16)
    with torch.no_grad():
        assert torch.equal(frames.decode(latents).sample, video.decode(latents, num_frames=4).sample)


def test_tiles_and_joints_count_once_and_the_edges_of_the_shape_count_more() -> None:
    clip = draw_clip(Scene("square", "red", "left", "green"), "mosaic", MOTION, np.random.default_rng(1))
    signal = to_signal(torch.from_numpy(np.stack(clip)).permute(0, 3, 1, 2))
    weight = edge_weight(signal, signal[:1], signal[-1:])
    assert weight.shape == (8, 1, 64, 64)
    assert set(weight[..., :4, :].flatten().tolist()) == {1.0}
    trailing, leading = weight[3, 0, 32, 5:9], weight[3, 0, 32, 38:42]
    assert trailing.max() > 1
    assert leading.max() > 1
