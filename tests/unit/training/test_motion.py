from math import hypot

import numpy as np
import pytest

from modelpool_training.drawing import Pose
from modelpool_training.motion import FRAMES, MOTION, draw_clip, drift_poses
from modelpool_training.reading import read_picture
from modelpool_training.scores import LEAST_MOVE
from modelpool_training.vocabulary import PLACES, STYLES, Scene

STARTS = {"left": (17, 32), "right": (47, 32), "top": (32, 17), "bottom": (32, 47), "center": (32, 32)}
GOES = {"left": (1, 0), "right": (-1, 0), "top": (0, 1), "bottom": (0, -1), "center": (1, 0)}


def way(poses: list[Pose]) -> tuple[float, float]:
    return poses[-1].x - poses[0].x, poses[-1].y - poses[0].y


@pytest.mark.parametrize("place", PLACES)
def test_shape_drifts_to_the_opposite_side(place: str) -> None:
    start = Pose(*STARTS[place], 13.0)
    poses = drift_poses(place, start, MOTION)
    across, down = way(poses)
    assert len(poses) == FRAMES
    assert poses[0] == start
    assert (np.sign(across), np.sign(down)) == GOES[place]
    assert hypot(across, down) >= 12
    assert hypot(across, down) / 2 <= LEAST_MOVE  # what the check asks for


@pytest.mark.parametrize("place", PLACES)
def test_shape_stays_within_the_picture_at_any_motion(place: str) -> None:
    for pose in drift_poses(place, Pose(*STARTS[place], 13.0), 1000):
        assert 16 <= pose.x <= 48
        assert 16 <= pose.y <= 48


def test_motion_stretches_the_way_in_proportion() -> None:
    start = Pose(17.0, 32.0, 13.0)
    assert way(drift_poses("left", start, MOTION / 2))[0] == pytest.approx(
        way(drift_poses("left", start, MOTION))[0] / 2
    )
    assert way(drift_poses("left", start, 0)) == (0, 0)


@pytest.mark.parametrize("style", STYLES)
def test_only_the_shape_moves(style: str) -> None:
    scene = Scene("circle", "red", "left", "green")
    clip = draw_clip(scene, style, MOTION, np.random.default_rng(1))
    read = [read_picture(frame, style) for frame in clip]
    assert all(np.array_equal(frame[:4], clip[0][:4]) for frame in clip)
    places = [found.x for found in read if found is not None]
    assert len(places) == FRAMES
    assert places == sorted(places)
    assert {(found.scene.shape, found.scene.colour) for found in read if found is not None} == {("circle", "red")}
