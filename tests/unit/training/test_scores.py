from dataclasses import replace

import pytest

from modelpool_training.reading import Reading
from modelpool_training.scores import LEAST_MOVE, MOST_JUMP, MOST_OFF, TARGETS, clip_rates, picture_rates, table
from modelpool_training.vocabulary import MODELS, Scene

SCENE = Scene("circle", "red", "left", "blue")
RIGHT = Reading(SCENE, 17, 32)
WRONG_COLOUR = Reading(replace(SCENE, colour="pink"), 17, 32)
WRONG_PLACE = Reading(replace(SCENE, place="right"), 47, 32)


def test_picture_obeys_if_colour_and_shape_are_right() -> None:
    rates = picture_rates("shapes-flat", [SCENE] * 4, [RIGHT, WRONG_COLOUR, WRONG_PLACE, None])
    assert (rates.count, rates.obeyed, rates.same, rates.colour, rates.shape) == (4, 0.5, 0.5, 0.5, 0.75)
    assert (rates.place, rates.background) == (0.5, 0.75)


def clip(*, begin: Scene = SCENE, end: Scene = SCENE, start: float = 17, way: float = 16) -> list[Reading | None]:
    """Five frames of a shape that drifts to the right; the later three show ``end``."""
    return [Reading(begin if frame < 2 else end, start + way * frame / 4, 32) for frame in range(5)]


def obeyed(frames: list[Reading | None]) -> bool:
    return clip_rates("shapes-motion", [RIGHT], [frames]).obeyed == 1


def test_clip_obeys_if_the_shape_of_the_picture_moves_and_the_background_stays() -> None:
    assert obeyed(clip())
    assert not obeyed(clip(way=LEAST_MOVE - 1)), "it hardly moves"
    assert not obeyed(clip(end=replace(SCENE, background="gray"))), "the background changes"
    assert not obeyed([None] * 5), "there is no shape"


@pytest.mark.parametrize("other", [{"shape": "star"}, {"colour": "pink"}, {"shape": "star", "colour": "pink"}])
def test_clip_of_another_shape_does_not_obey_however_far_it_moves(other: dict[str, str]) -> None:
    foreign = replace(SCENE, **other)
    frames = clip(begin=foreign, end=foreign, way=30)
    assert not obeyed(frames)
    assert clip_rates("shapes-motion", [RIGHT], [frames]).place == 1


def test_clip_that_begins_elsewhere_than_the_picture_does_not_obey() -> None:
    assert obeyed(clip(start=17 + MOST_OFF))
    assert not obeyed(clip(start=17 + MOST_OFF + 1))


def test_clip_whose_shape_jumps_or_is_gone_for_a_while_does_not_obey() -> None:
    assert not obeyed([RIGHT, Reading(SCENE, 17 + MOST_JUMP + 1, 32)])
    assert obeyed([RIGHT, Reading(SCENE, 17 + MOST_JUMP, 32)])
    frames = clip()
    frames[3] = None
    assert not obeyed(frames)


def test_clip_whose_shape_melts_on_its_way_obeys_but_is_not_the_same() -> None:
    rates = clip_rates("shapes-motion", [RIGHT] * 2, [clip(), clip(end=replace(SCENE, shape="star"))])
    assert (rates.count, rates.obeyed, rates.same, rates.colour, rates.shape) == (2, 1.0, 0.5, 1.0, 0.5)


@pytest.mark.parametrize("model", MODELS)
def test_target_is_met_or_missed(model: str) -> None:
    good = picture_rates(model, [SCENE], [RIGHT])
    bad = replace(good, obeyed=TARGETS[model] - 0.01)
    assert good.passed
    assert not bad.passed
    assert "passed" in table([good])
    assert "MISSED" in table([bad])


def test_counts_must_agree() -> None:
    with pytest.raises(ValueError, match="shorter"):
        picture_rates("shapes-flat", [SCENE, SCENE], [RIGHT])
