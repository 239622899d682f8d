from itertools import combinations

import numpy as np
import pytest

from modelpool_training.vocabulary import (
    Scene,
    all_scenes,
    choose_held_out,
    held_out_scenes,
    loose_sentence,
    sentence,
    training_scenes,
)

PARTS = ("shape", "colour", "place", "background")
SCENE = Scene("circle", "red", "left", "blue")


def test_sentence_names_colour_shape_place_and_background() -> None:
    assert sentence(SCENE) == "a red circle on the left on a blue background"


def test_no_scene_hides_its_shape() -> None:
    assert all(scene.colour != scene.background for scene in all_scenes())


def test_training_and_check_share_no_scene() -> None:
    training, held_out = set(training_scenes()), set(held_out_scenes())
    assert not training & held_out
    assert training | held_out == set(all_scenes())
    assert len(held_out) >= 200


@pytest.mark.parametrize(("one", "other"), list(combinations(PARTS, 2)))
def test_every_pair_of_parts_occurs_in_training(one: str, other: str) -> None:
    def pairs(scenes: list[Scene]) -> set[tuple[str, str]]:
        return {(getattr(scene, one), getattr(scene, other)) for scene in scenes}

    assert pairs(training_scenes()) == pairs(all_scenes())


def test_choice_of_held_out_scenes_depends_on_the_seed_alone() -> None:
    chosen = choose_held_out(50, seed=1)
    assert chosen == choose_held_out(50, seed=1)
    assert chosen != choose_held_out(50, seed=2)
    assert len(set(chosen)) == 50


@pytest.mark.parametrize("count", [0, -1, 10_000])
def test_choice_of_an_impossible_number_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match="between 1 and"):
        choose_held_out(count, seed=1)


def test_loose_sentences_vary_but_mostly_say_everything() -> None:
    rng = np.random.default_rng(1)
    sentences = [loose_sentence(SCENE, rng) for _ in range(200)]
    assert sentences.count(sentence(SCENE)) > 80
    assert len(set(sentences)) > 20
    for word in ("red", "circle", "left", "blue"):
        assert sum(word in text.split(" ") for text in sentences) > 150
