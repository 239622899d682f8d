"""Clips in which the shape of a picture drifts across it. Pure."""

import numpy as np

from modelpool_training.drawing import Mask, Picture, Pose, choose_pose, draw_at, filled_mask
from modelpool_training.vocabulary import Scene

FRAMES = 8
FRAMES_PER_SECOND = 8
MOTION = 127  # the motion bucket at which a shape drifts `_FULL_DRIFT` pixels

_FULL_DRIFT = 16.0
_LOW, _HIGH = 16.0, 48.0  # a shape's middle stays within these, so that the shape stays within the picture

_DIRECTIONS: dict[str, tuple[int, int]] = {
    "left": (1, 0),
    "right": (-1, 0),
    "top": (0, 1),
    "bottom": (0, -1),
    "center": (1, 0),
}


def drift_poses(place: str, start: Pose, motion: float) -> list[Pose]:
    """One pose a frame, the first where the picture has the shape.

    A shape drifts at an even pace to the opposite side, from the center to the right; `motion` (the motion bucket of
    Stable Video Diffusion) stretches or shortens the way in proportion.
    """
    across, down = _DIRECTIONS[place]
    way = _FULL_DRIFT * motion / MOTION
    end_x = float(np.clip(start.x + across * way, min(start.x, _LOW), max(start.x, _HIGH)))
    end_y = float(np.clip(start.y + down * way, min(start.y, _LOW), max(start.y, _HIGH)))
    shares = [frame / (FRAMES - 1) for frame in range(FRAMES)]
    return [
        Pose(start.x + share * (end_x - start.x), start.y + share * (end_y - start.y), start.radius) for share in shares
    ]


def draw_clip(scene: Scene, style: str, motion: float, rng: np.random.Generator) -> list[Picture]:
    """The pictures of one clip; background and texture stay, only the shape moves."""
    return [picture for picture, _ in draw_frames(scene, style, motion, rng)]


def draw_frames(scene: Scene, style: str, motion: float, rng: np.random.Generator) -> list[tuple[Picture, Mask]]:
    """The pictures of one clip, each with how much of each pixel the shape fills."""
    start, texture = choose_pose(scene.place, rng), int(rng.integers(2**31))
    return [
        (draw_at(scene, style, pose, texture), filled_mask(scene.shape, pose))
        for pose in drift_poses(scene.place, start, motion)
    ]
