"""From what was read to rates. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot

from modelpool_training.reading import Reading
from modelpool_training.vocabulary import Scene

LEAST_MOVE = 8.0  # pixels between the first and the last frame

TARGETS: dict[str, float] = {
    "shapes-flat": 0.9,
    "shapes-outline": 0.8,
    "shapes-neon": 0.8,
    "shapes-mosaic": 0.8,
    "shapes-motion": 0.8,
}


@dataclass(frozen=True, slots=True)
class Rates:
    """Shares, 0 to 1, of `count` pictures or clips.

    `obeyed` is what the target is set for: colour and shape right in one picture; in a clip, the shape has moved and
    is still the same. `place` of a clip is the share in which the shape has moved at all.
    """

    model: str
    count: int
    obeyed: float
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
    obeyed = [one and other for one, other in zip(colour, shape, strict=True)]
    return _rates(model, obeyed, colour, shape, place, ground)


def clip_rates(
    model: str, asked: Sequence[Scene], first: Sequence[Reading | None], last: Sequence[Reading | None]
) -> Rates:
    """How often the shape of the picture moves from the first frame to the last, and stays what it was."""
    moved = [
        start is not None and end is not None and hypot(end.x - start.x, end.y - start.y) >= LEAST_MOVE
        for start, end in zip(first, last, strict=True)
    ]
    ends = picture_rates(model, asked, last)
    obeyed = [
        way and end is not None and (end.scene.colour, end.scene.shape) == (scene.colour, scene.shape)
        for way, end, scene in zip(moved, last, asked, strict=True)
    ]
    return Rates(model, len(asked), _share(obeyed), ends.colour, ends.shape, _share(moved), ends.background)


def table(rates: Sequence[Rates]) -> str:
    """The rates as lines of text."""
    head = f"{'model':16}{'count':>6}{'obeyed':>8}{'target':>8}{'colour':>8}{'shape':>8}{'place':>8}{'backgr.':>8}"
    rows = [
        f"{rate.model:16}{rate.count:6}{rate.obeyed:8.0%}{TARGETS[rate.model]:8.0%}{rate.colour:8.0%}"
        f"{rate.shape:8.0%}{rate.place:8.0%}{rate.background:8.0%}  {'passed' if rate.passed else 'MISSED'}"
        for rate in rates
    ]
    return "\n".join([head, *rows])


def _rates(
    model: str,
    obeyed: Sequence[bool],
    colour: Sequence[bool],
    shape: Sequence[bool],
    place: Sequence[bool],
    background: Sequence[bool],
) -> Rates:
    return Rates(model, len(obeyed), _share(obeyed), _share(colour), _share(shape), _share(place), _share(background))


def _share(outcomes: Sequence[bool]) -> float:
    return sum(outcomes) / len(outcomes)
