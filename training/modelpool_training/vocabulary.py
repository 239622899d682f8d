"""What the demonstration models can draw, and the sentences that ask for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

SHAPES: tuple[str, ...] = ("circle", "square", "triangle", "star", "cross")
COLOURS: tuple[str, ...] = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white")
PLACES: tuple[str, ...] = ("left", "right", "top", "bottom", "center")
BACKGROUNDS: tuple[str, ...] = ("black", "gray", "white", "blue", "green", "red", "yellow", "purple")
STYLES: tuple[str, ...] = ("flat", "outline", "neon", "mosaic")

MODELS: tuple[str, ...] = (*(f"shapes-{style}" for style in STYLES), "shapes-motion")

PLACE_PHRASES: dict[str, str] = {
    "left": "on the left",
    "right": "on the right",
    "top": "at the top",
    "bottom": "at the bottom",
    "center": "in the center",
}

# Each word gets one token. Words that name nothing the models learn are split into letters and ignored.
WORDS: tuple[str, ...] = tuple(
    dict.fromkeys((*SHAPES, *COLOURS, *BACKGROUNDS, *PLACES, "a", "on", "at", "in", "the", "background", "shape"))
)

_ALPHABET = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class Scene:
    """One shape of one colour at one place on one background."""

    shape: str
    colour: str
    place: str
    background: str


def all_scenes() -> list[Scene]:
    """Every scene whose shape can be told from its background, in a fixed order."""
    return [
        Scene(shape, colour, place, background)
        for shape, colour, place, background in product(SHAPES, COLOURS, PLACES, BACKGROUNDS)
        if colour != background
    ]


def is_held_out(scene: Scene) -> bool:
    """Whether no training picture shows this combination.

    About one combination in seven; every shape, colour, place and background, and every pair of them, still occurs
    in the training.
    """
    code = (
        SHAPES.index(scene.shape)
        + 2 * COLOURS.index(scene.colour)
        + 3 * PLACES.index(scene.place)
        + 5 * BACKGROUNDS.index(scene.background)
    )
    return code % 7 == 0


def training_scenes() -> list[Scene]:
    """The scenes to train on."""
    return [scene for scene in all_scenes() if not is_held_out(scene)]


def held_out_scenes() -> list[Scene]:
    """The scenes to check with."""
    return [scene for scene in all_scenes() if is_held_out(scene)]


def choose_held_out(count: int, seed: int) -> list[Scene]:
    """`count` different held-out scenes; the same for the same seed."""
    scenes = held_out_scenes()
    if not 0 < count <= len(scenes):
        raise ValueError(f"count must be between 1 and {len(scenes)}")
    order = np.random.default_rng(seed).permutation(len(scenes))[:count]
    return [scenes[int(index)] for index in order]


def sentence(scene: Scene) -> str:
    """The full sentence, such as "a red circle on the left on a blue background"."""
    return f"a {scene.colour} {scene.shape} {PLACE_PHRASES[scene.place]} on a {scene.background} background"


def loose_sentence(scene: Scene, rng: np.random.Generator) -> str:
    """The sentence as people would type it: now and then a part is missing or a strange word is in it."""
    colour = f"{scene.colour} " if rng.random() > 0.06 else ""
    shape = scene.shape if rng.random() > 0.03 else "shape"
    parts = [f"{colour}{shape}"]
    if rng.random() > 0.1:
        parts[0] = f"a {parts[0]}"
    if rng.random() > 0.08:
        parts.append(PLACE_PHRASES[scene.place])
    if rng.random() > 0.08:
        parts.append(f"on a {scene.background} background")
    words = " ".join(parts).split(" ")
    if rng.random() < 0.1:
        words.insert(int(rng.integers(len(words) + 1)), _strange_word(rng))
    return " ".join(words)


def _strange_word(rng: np.random.Generator) -> str:
    letters: Sequence[str] = [
        _ALPHABET[int(index)] for index in rng.integers(len(_ALPHABET), size=int(rng.integers(3, 9)))
    ]
    return "".join(letters)
