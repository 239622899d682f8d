"""The ring of seeds: new pictures for one who repeats, eight for a crowd."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from modelpool.jobs import JobRequest
from modelpool.resources.models import Task
from modelpool_api.seeds import RING, SEEDS, ring_seed, words_digest


def request(**changes: Any) -> JobRequest:
    fields: dict[str, Any] = {"model": "flux", "revision": "r1", "task": Task.TEXT_TO_IMAGE, "prompt": "a cat"}
    sizes = {"width": 512, "height": 512, "steps": 4, "guidance": 0, "seed": 1}
    return JobRequest(**{**fields, **sizes, **changes})


def test_one_person_gets_eight_different_pictures_before_the_first_comes_again() -> None:
    seeds = [ring_seed("words", 20_000, "somebody", nth) for nth in range(RING + 1)]
    assert len(set(seeds)) == RING
    assert seeds[0] == seeds[RING]


def test_a_crowd_spreads_over_eight() -> None:
    seeds = [ring_seed("words", 20_000, f"person {number}", 0) for number in range(2_000)]
    assert len(set(seeds)) == RING
    assert min(seeds.count(seed) for seed in set(seeds)) > 150


def test_other_words_and_another_day_have_other_seeds() -> None:
    rings = [{ring_seed(words, day, "x", nth) for nth in range(RING)} for words, day in (("a", 1), ("b", 1), ("a", 2))]
    assert len(set().union(*rings)) == 3 * RING


@given(st.text(), st.integers(0, 10**6), st.text(), st.integers(0, 10**9))
def test_a_seed_is_one_that_every_reader_keeps_exact(words: str, day: int, subject: str, nth: int) -> None:
    assert 0 <= ring_seed(words, day, subject, nth) < SEEDS


def test_the_words_cover_everything_but_the_seed() -> None:
    same = words_digest(request(), "v1", None)
    assert words_digest(request(seed=99), "v1", None) == same
    others = [
        words_digest(request(prompt="a dog"), "v1", None),
        words_digest(request(width=256), "v1", None),
        words_digest(request(), "v2", None),
        words_digest(request(), "v1", b"an image"),
        words_digest(request(), "v1", "results/an-image.png"),
        words_digest(request(revision="r2"), "v1", None),
    ]
    assert len({same, *others}) == 7
