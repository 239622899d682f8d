"""From what was read to rates. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import hypot

from modelpool_training.reading import Reading
from modelpool_training.vocabulary import Scene

LEAST_MOVE = 8.0  # pixels between the first and the last frame

TARGETS: dict[str, float] = {
    "shapes-flat": 0.9,
    "shapes-outline": 0.8,
    "shapes-neon": 0.8,
    "shapes-mosaic": 0.8,
    "shapes-motion": 0.9,
}


@dataclass(frozen=True, slots=True)
class Rates:
    """Shares, 0 to 1, of `count` pictures or clips.

    `obeyed` is what the target is set for: of a picture, that colour and shape are both right; of a clip, that the
    shape has moved and the background has stayed. `same` is the share in which colour and shape are both right, in a
    clip's last frame. `place` of a clip is the share in which the shape has moved.
    """

    model: str
    count: int
    obeyed: float
    same: float
    colour: float
    shape: float
    place: float
    background: float

    @property
    def passed(self) -> bool:
        """Whether the model reaches its target."""
        return self.obeyed >= TARGETS[self.model]


def picture_rates(model: str, asked: Sequence[Scene], read: Sequence[Reading | None]) -> Rates:
    """How often the pictures show what was asked for."""
    colour = [got is not None and got.scene.colour == scene.colour for scene, got in zip(asked, read, strict=True)]
    shape = [got is not None and got.scene.shape == scene.shape for scene, got in zip(asked, read, strict=True)]
    place = [got is not None and got.scene.place == scene.place for scene, got in zip(asked, read, strict=True)]
    ground = [
        got is not None and got.scene.background == scene.background for scene, got in zip(asked, read, strict=True)
    ]
    same = [one and other for one, other in zip(colour, shape, strict=True)]
    return Rates(
        model, len(asked), _share(same), _share(same), _share(colour), _share(shape), _share(place), _share(ground)
    )


def clip_rates(
    model: str, asked: Sequence[Scene], first: Sequence[Reading | None], last: Sequence[Reading | None]
) -> Rates:
    """How often the shape of the picture moves from the first frame to the last, and what it is then."""
    moved = [
        start is not None and end is not None and hypot(end.x - start.x, end.y - start.y) >= LEAST_MOVE
        for start, end in zip(first, last, strict=True)
    ]
    obeyed = [
        way and end is not None and end.scene.background == scene.background
        for way, end, scene in zip(moved, last, asked, strict=True)
    ]
    return replace(picture_rates(model, asked, last), obeyed=_share(obeyed), place=_share(moved))


def table(rates: Sequence[Rates]) -> str:
    """The rates as lines of text."""
    columns = ("obeyed", "target", "same", "colour", "shape", "place", "backgr.")
    head = f"{'model':16}{'count':>6}" + "".join(f"{column:>8}" for column in columns)
    rows = [
        f"{rate.model:16}{rate.count:6}{rate.obeyed:8.0%}{TARGETS[rate.model]:8.0%}{rate.same:8.0%}{rate.colour:8.0%}"
        f"{rate.shape:8.0%}{rate.place:8.0%}{rate.background:8.0%}  {'passed' if rate.passed else 'MISSED'}"
        for rate in rates
    ]
    return "\n".join([head, *rows])


def _share(outcomes: Sequence[bool]) -> float:
    return sum(outcomes) / len(outcomes)
