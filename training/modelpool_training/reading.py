"""Read a picture back: which shape of which colour lies where on which background. Pure, and trained on nothing.

A reader knows the style only through one reference drawing of each shape, colour and background, which it measures
just as it measures the picture in question.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from modelpool_training.drawing import Picture, Pose, draw_at
from modelpool_training.vocabulary import BACKGROUNDS, COLOURS, SHAPES, Scene

_RING = 4  # pixels along the border that show the background
_LEAST_DIFFERENCE = 25.0  # of 441, between the farthest corners of the colour cube
_LEAST_AREA = 60  # pixels; what is smaller is no shape
_GRID = 32  # cells on each side of a shape's normed mask
_PLACES = {"left": (17, 32), "right": (47, 32), "top": (32, 17), "bottom": (32, 47), "center": (32, 32)}

Bits = NDArray[np.bool_]
Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read, and the middle of the shape in pixels."""

    scene: Scene
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class _Measure:
    """A picture in numbers: the shape's mask, its colour, the background's colour."""

    mask: Bits
    colour: Vector
    background: Vector


@dataclass(frozen=True, slots=True)
class _References:
    shapes: dict[str, NDArray[np.float32]]
    colours: dict[str, Vector]
    backgrounds: dict[str, Vector]


def read_picture(picture: Picture, style: str) -> Reading | None:
    """What the picture shows; None if nothing in it stands out from the background."""
    found = _measure(picture, style)
    if found is None:
        return None
    references = _references(style)
    normed = _normed(found.mask)
    overlaps = {name: _overlap(normed, reference) for name, reference in references.shapes.items()}
    left, top, right, bottom = _box(found.mask)
    x, y = (left + right) / 2, (top + bottom) / 2
    place = min(_PLACES, key=lambda name: (x - _PLACES[name][0]) ** 2 + (y - _PLACES[name][1]) ** 2)
    scene = Scene(
        shape=max(overlaps, key=lambda name: overlaps[name]),
        colour=_nearest(found.colour, references.colours),
        place=place,
        background=_nearest(found.background, references.backgrounds),
    )
    return Reading(scene, x, y)


@cache
def _references(style: str) -> _References:
    pose = Pose(32.0, 32.0, 13.0)

    def reference(shape: str, colour: str, background: str) -> _Measure:
        found = _measure(draw_at(Scene(shape, colour, "center", background), style, pose, 0), style)
        if found is None:
            raise RuntimeError(f"cannot read a {colour} {shape} on {background} drawn in style {style}")
        return found

    return _References(
        shapes={shape: _normed(reference(shape, "white", "black").mask) for shape in SHAPES},
        colours={colour: reference("square", colour, "black").colour for colour in COLOURS},
        backgrounds={ground: reference("circle", "orange", ground).background for ground in BACKGROUNDS},
    )


def _measure(picture: Picture, style: str) -> _Measure | None:
    pixels = picture.astype(np.float32)
    inner = np.zeros(picture.shape[:2], np.bool_)
    inner[_RING:-_RING, _RING:-_RING] = True
    background = np.median(pixels[~inner], axis=0).astype(np.float32)
    difference = _difference(pixels, background, style)
    strongest = float(np.sort(difference, axis=None)[-100:].mean())
    if strongest < _LEAST_DIFFERENCE:
        return None
    raw = difference > 0.5 * strongest
    if style == "mosaic":  # close the joints between tiles
        raw = _filtered(_filtered(raw, ImageFilter.MaxFilter(3)), ImageFilter.MinFilter(3))
    mask = _largest(_without_holes(raw))
    if int(mask.sum()) < _LEAST_AREA:
        return None
    body = mask & (difference > 0.8 * strongest)
    if style == "mosaic":
        body = mask & (difference > 0.6 * strongest)
    colour = np.median(pixels[body if body.any() else mask], axis=0).astype(np.float32)
    return _Measure(mask, colour, background)


def _difference(pixels: NDArray[np.float32], background: Vector, style: str) -> NDArray[np.float32]:
    """How far each pixel is from the background's colour; in the mosaic, from any shade that a tile or joint has."""
    low, high = (0.4, 1.15) if style == "mosaic" else (1.0, 1.0)
    shade = np.clip(pixels @ background / max(float(background @ background), 1.0), low, high)
    return np.asarray(np.linalg.norm(pixels - shade[..., None] * background, axis=2), np.float32)


def _normed(mask: Bits) -> NDArray[np.float32]:
    """The mask stretched from its bounding box to a fixed grid."""
    left, top, right, bottom = _box(mask)
    image = Image.fromarray(mask[top:bottom, left:right].astype(np.uint8) * 255)
    return np.asarray(image.resize((_GRID, _GRID), Image.Resampling.BILINEAR)).astype(np.float32) / np.float32(255)


def _overlap(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return float(np.minimum(one, other).sum() / np.maximum(one, other).sum())


def _nearest(colour: Vector, references: dict[str, Vector]) -> str:
    return min(references, key=lambda name: float(np.linalg.norm(colour - references[name])))


def _box(mask: Bits) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _filtered(mask: Bits, kernel: ImageFilter.MaxFilter | ImageFilter.MinFilter) -> Bits:
    return np.asarray(Image.fromarray(mask.astype(np.uint8) * 255).filter(kernel)) > 127


def _without_holes(mask: Bits) -> Bits:
    padded = np.pad(mask, 1)
    outside = np.zeros_like(padded)
    outside[0, 0] = True
    return ~_grown(outside, ~padded)[1:-1, 1:-1]


def _largest(mask: Bits) -> Bits:
    """The largest connected part of the mask."""
    rest, best = mask.copy(), np.zeros_like(mask)
    while rest.any():
        seed = np.zeros_like(mask)
        seed[np.unravel_index(int(rest.argmax()), rest.shape)] = True
        part = _grown(seed, rest)
        if part.sum() > best.sum():
            best = part
        rest &= ~part
    return best


def _grown(seed: Bits, within: Bits) -> Bits:
    """All that is connected to the seed by sides, within a mask."""
    while True:
        grown = seed.copy()
        grown[1:] |= seed[:-1]
        grown[:-1] |= seed[1:]
        grown[:, 1:] |= seed[:, :-1]
        grown[:, :-1] |= seed[:, 1:]
        grown &= within
        if bool((grown == seed).all()):
            return grown
        seed = grown
