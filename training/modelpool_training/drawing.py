"""Draw one shape on a background in one of four styles. Pure: the same generator state gives the same picture."""

from dataclasses import dataclass
from math import cos, pi, sin

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from modelpool_training.vocabulary import Scene

SIZE = 64  # pixels on each side of a picture
_FINE = 4  # masks are drawn this many times larger, then averaged: smooth edges

PALETTE: dict[str, tuple[int, int, int]] = {
    "red": (220, 35, 35),
    "orange": (250, 140, 20),
    "yellow": (250, 225, 50),
    "green": (35, 160, 65),
    "blue": (40, 85, 225),
    "purple": (125, 45, 175),
    "pink": (255, 150, 200),
    "white": (248, 248, 248),
    "black": (16, 16, 20),
    "gray": (128, 128, 128),
}

_CENTRES: dict[str, tuple[float, float]] = {
    "left": (17.0, 32.0),
    "right": (47.0, 32.0),
    "top": (32.0, 17.0),
    "bottom": (32.0, 47.0),
    "center": (32.0, 32.0),
}

Picture = NDArray[np.uint8]  # height × width × 3, 0 to 255
Mask = NDArray[np.float32]  # height × width, 0 to 1


@dataclass(frozen=True, slots=True)
class Pose:
    """Where a shape lies and how large it is, in pixels: centre and the radius of the circle around it."""

    x: float
    y: float
    radius: float


def choose_pose(place: str, rng: np.random.Generator) -> Pose:
    """A pose at the place, a little off its middle, wholly inside the picture."""
    x, y = _CENTRES[place]
    return Pose(x + rng.uniform(-1.5, 1.5), y + rng.uniform(-1.5, 1.5), rng.uniform(12.0, 14.0))


def outline_points(shape: str, pose: Pose) -> list[tuple[float, float]]:
    """The corners of the shape in pixels (a circle has many)."""
    if shape == "circle":
        return _around(pose, [(2 * pi * turn / 48, 0.95) for turn in range(48)])
    if shape == "square":
        return _around(pose, [(pi / 4 + pi / 2 * turn, 1.2) for turn in range(4)])
    if shape == "triangle":
        low = Pose(pose.x, pose.y + 0.15 * pose.radius, pose.radius)
        return _around(low, [(-pi / 2 + 2 * pi / 3 * turn, 1.2) for turn in range(3)])
    if shape == "star":
        return _around(pose, [(-pi / 2 + pi / 5 * turn, 1.12 if turn % 2 == 0 else 0.48) for turn in range(10)])
    if shape == "cross":
        arm, half = 1.0, 0.36
        corners = [(half, -arm), (half, -half), (arm, -half), (arm, half), (half, half), (half, arm)]
        corners += [(-x, -y) for x, y in corners]
        return [(pose.x + pose.radius * x, pose.y + pose.radius * y) for x, y in corners]
    raise ValueError(f"unknown shape {shape!r}")


def filled_mask(shape: str, pose: Pose) -> Mask:
    """How much of each pixel the shape covers."""
    image = Image.new("L", (SIZE * _FINE, SIZE * _FINE))
    ImageDraw.Draw(image).polygon([(x * _FINE, y * _FINE) for x, y in outline_points(shape, pose)], fill=255)
    return _averaged(image)


def stroke_mask(shape: str, pose: Pose, width: float) -> Mask:
    """How much of each pixel a line of `width` pixels along the edge of the shape covers."""
    points = [(x * _FINE, y * _FINE) for x, y in outline_points(shape, pose)]
    image = Image.new("L", (SIZE * _FINE, SIZE * _FINE))
    ImageDraw.Draw(image).line([*points, *points[:2]], fill=255, width=round(width * _FINE), joint="curve")
    return _averaged(image)


def draw(scene: Scene, style: str, rng: np.random.Generator) -> Picture:
    """A picture of the scene in the style."""
    return draw_at(scene, style, choose_pose(scene.place, rng), int(rng.integers(2**31)))


def draw_at(scene: Scene, style: str, pose: Pose, texture_seed: int) -> Picture:
    """A picture of the scene with the shape at `pose`; its texture depends on `texture_seed` alone."""
    colour = np.array(PALETTE[scene.colour], np.float32)
    ground = np.array(PALETTE[scene.background], np.float32)
    if style == "flat":
        pixels = _blend(ground, colour, filled_mask(scene.shape, pose))
    elif style == "outline":
        pixels = _blend(ground, colour, stroke_mask(scene.shape, pose, 4.0))
    elif style == "neon":
        pixels = _neon(scene.shape, pose, colour, ground)
    elif style == "mosaic":
        pixels = _mosaic(_blend(ground, colour, filled_mask(scene.shape, pose)), texture_seed)
    else:
        raise ValueError(f"unknown style {style!r}")
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def _around(pose: Pose, corners: list[tuple[float, float]]) -> list[tuple[float, float]]:
    return [
        (pose.x + pose.radius * reach * cos(angle), pose.y + pose.radius * reach * sin(angle))
        for angle, reach in corners
    ]


def _averaged(image: Image.Image) -> Mask:
    fine = np.asarray(image, np.float32).reshape(SIZE, _FINE, SIZE, _FINE)
    return np.asarray(fine.mean(axis=(1, 3)) / 255.0, np.float32)


def _blend(ground: NDArray[np.float32], colour: NDArray[np.float32], mask: Mask) -> NDArray[np.float32]:
    share = mask[..., None]
    return np.asarray(ground * (1 - share) + colour * share, np.float32)


def _neon(shape: str, pose: Pose, colour: NDArray[np.float32], ground: NDArray[np.float32]) -> NDArray[np.float32]:
    """A bright tube with a halo in a room that is dark and only tinted with the background's colour."""
    tube = stroke_mask(shape, pose, 4.0)
    blurred = Image.fromarray((tube * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(4))
    halo = np.clip(np.asarray(blurred, np.float32) / 255 * 1.1, 0, 1)
    room = ground * 0.3
    return _blend(_blend(room, colour, np.asarray(halo * 0.8, np.float32)), colour * 0.8 + 51, tube)


def _mosaic(pixels: NDArray[np.float32], texture_seed: int) -> NDArray[np.float32]:
    """Square tiles of eight pixels, each a little lighter or darker than the next, with dark joints between."""
    cells = SIZE // 8
    light = np.random.default_rng(texture_seed).uniform(0.78, 1.08, (cells, cells)).astype(np.float32)
    tiles = np.kron(light, np.ones((8, 8), np.float32))
    joints = np.arange(SIZE) % 8 == 0
    tiles[joints, :] *= 0.45
    tiles[:, joints] *= 0.45
    return np.asarray(pixels * tiles[..., None], np.float32)
