from dataclasses import replace

import pytest

from modelpool_training.reading import Reading
from modelpool_training.scores import LEAST_MOVE, TARGETS, clip_rates, picture_rates, table
from modelpool_training.vocabulary import MODELS, Scene

SCENE = Scene("circle", "red", "left", "blue")
RIGHT = Reading(SCENE, 17, 32)
WRONG_COLOUR = Reading(replace(SCENE, colour="pink"), 17, 32)
WRONG_PLACE = Reading(replace(SCENE, place="right"), 47, 32)


def test_picture_obeys_if_colour_and_shape_are_right() -> None:
    rates = picture_rates("shapes-flat", [SCENE] * 4, [RIGHT, WRONG_COLOUR, WRONG_PLACE, None])
    assert (rates.count, rates.obeyed, rates.same, rates.colour, rates.shape) == (4, 0.5, 0.5, 0.5, 0.75)
    assert (rates.place, rates.background) == (0.5, 0.75)


def test_clip_obeys_if_the_shape_moved_and_the_background_stayed() -> None:
    still = Reading(SCENE, 17 + LEAST_MOVE - 1, 32)
    elsewhere = Reading(replace(SCENE, background="gray"), 47, 32)
    rates = clip_rates("shapes-motion", [SCENE] * 4, [RIGHT] * 4, [WRONG_PLACE, still, elsewhere, None])
    assert (rates.count, rates.obeyed, rates.place, rates.background) == (4, 0.25, 0.5, 0.5)


def test_clip_whose_shape_melts_on_its_way_obeys_but_is_not_the_same() -> None:
    melted = Reading(replace(SCENE, shape="star"), 47, 32)
    rates = clip_rates("shapes-motion", [SCENE] * 2, [RIGHT] * 2, [WRONG_PLACE, melted])
    assert (rates.obeyed, rates.same, rates.colour, rates.shape) == (1.0, 0.5, 1.0, 0.5)


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
