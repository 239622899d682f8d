"""From what was read to rates. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import hypot

from modelpool_training.reading import Reading
from modelpool_training.vocabulary import Scene

LEAST_MOVE = 8.0  # pixels between the first and the last frame
MOST_OFF = 4.0  # pixels between the shape in the picture and in the first frame
MOST_JUMP = 8.0  # pixels from one frame to the next: more than three times the pace of a clip of the check

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

    `obeyed` is what the target is set for: of a picture, that colour and shape are both right; of a clip, that the first
    frame shows the input picture's shape in its colour and place, that it moves without a jump, and that the background
    stays. `same` is the share in which colour and shape are both right, in a clip's last frame. `place` of a clip is the
    share in which a shape has moved.
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


def clip_rates(model: str, shown: Sequence[Reading], clips: Sequence[Sequence[Reading | None]]) -> Rates:
    """How often the shape of the picture moves, and what it is in the last frame.

    `shown` are the input pictures as they read, `clips` the frames of each in order; None is a frame without a shape.
    """
    last = [clip[-1] for clip in clips]
    moved = [_has_moved(clip) for clip in clips]
    obeyed = [
        way
        and _begins_as(picture, clip[0])
        and _goes_on(clip)
        and end is not None
        and end.scene.background == picture.scene.background
        for picture, clip, way, end in zip(shown, clips, moved, last, strict=True)
    ]
    rates = picture_rates(model, [picture.scene for picture in shown], last)
    return replace(rates, obeyed=_share(obeyed), place=_share(moved))


def _has_moved(clip: Sequence[Reading | None]) -> bool:
    start, end = clip[0], clip[-1]
    return start is not None and end is not None and _distance(start, end) >= LEAST_MOVE


def _begins_as(picture: Reading, first: Reading | None) -> bool:
    if first is None or _distance(picture, first) > MOST_OFF:
        return False
    return (first.scene.shape, first.scene.colour) == (picture.scene.shape, picture.scene.colour)


def _goes_on(clip: Sequence[Reading | None]) -> bool:
    """Whether a shape can be followed from frame to frame: another one that comes up elsewhere is not this one moved."""
    return all(
        one is not None and other is not None and _distance(one, other) <= MOST_JUMP for one, other in pairwise(clip)
    )


def _distance(one: Reading, other: Reading) -> float:
    return hypot(other.x - one.x, other.y - one.y)


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
