"""Work follows what a job costs the GPU; price follows what the spec promised."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelpool.jobs import JobRequest
from modelpool.resources.models import Defaults, Task
from modelpool.work import expected_work, megapixel_steps, megapixel_steps_run, price, steps_run

USUAL = Defaults(width=1000, height=1000, steps=10, guidance=3.0)


def a_request(**changes: Any) -> JobRequest:
    fields: dict[str, Any] = {
        "model": "m",
        "revision": "r",
        "task": Task.TEXT_TO_IMAGE,
        "width": 1000,
        "height": 1000,
        "steps": 10,
        "guidance": 3.0,
        "seed": 1,
    }
    return JobRequest.model_validate(fields | changes)


def test_work_is_a_fixed_part_and_megapixel_steps() -> None:
    assert expected_work(a_request(), 0.1, fixed=0.5) == pytest.approx(0.5 + 1 * 10 * 2 * 0.1)


def test_guidance_runs_the_network_twice() -> None:
    assert megapixel_steps(1000, 1000, 10, 1, 3.0) == 2 * megapixel_steps(1000, 1000, 10, 1, 0.0)
    assert megapixel_steps(1000, 1000, 10, 1, 1.0) == megapixel_steps(1000, 1000, 10, 1, 0.0)


@pytest.mark.parametrize(("steps", "strength", "run"), [(16, 0.3, 4), (16, 1.0, 16), (100, 0.29, 28), (2, 0.1, 1)])
def test_image_to_image_runs_a_share_of_its_steps_by_strength(steps: int, strength: float, run: int) -> None:
    asked = a_request(task=Task.IMAGE_TO_IMAGE, steps=steps, strength=strength)
    assert steps_run(asked) == run
    assert megapixel_steps_run(asked) == 2 * run
    assert expected_work(asked, 0.1, fixed=0.5) == pytest.approx(0.5 + 2 * run * 0.1)


def test_strength_says_nothing_about_other_tasks() -> None:
    assert steps_run(a_request(strength=0.3)) == 10
    assert steps_run(a_request(task=Task.IMAGE_TO_VIDEO, strength=0.3)) == 10


def test_price_does_not_depend_on_strength() -> None:
    asked = [a_request(task=Task.IMAGE_TO_IMAGE, steps=20, strength=strength) for strength in (0.1, 1.0)]
    assert [price(request, USUAL, quota_units=1) for request in asked] == [2, 2]


@pytest.mark.parametrize(
    ("changes", "units"),
    [
        ({}, 1),
        ({"steps": 5}, 1),
        ({"guidance": 0.0}, 1),
        ({"steps": 11}, 2),
        ({"steps": 20}, 2),
        ({"width": 2000, "height": 2000}, 4),
        ({"width": 2000, "height": 2000, "steps": 30}, 12),
    ],
)
def test_a_job_within_the_defaults_costs_one_unit_and_a_larger_one_its_ratio_rounded_up(
    changes: dict[str, Any], units: int
) -> None:
    assert price(a_request(**changes), USUAL, quota_units=1) == units


def test_a_video_costs_its_own_units() -> None:
    assert price(a_request(), USUAL, quota_units=5) == 5
    assert price(a_request(steps=11), USUAL, quota_units=5) == 6


@given(steps=st.integers(1, 100), more=st.integers(0, 100))
def test_a_larger_job_never_costs_less(steps: int, more: int) -> None:
    assert price(a_request(steps=steps + more), USUAL, 1) >= price(a_request(steps=steps), USUAL, 1)
