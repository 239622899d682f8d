"""Keys decide whom a job shares a batch with; the digest decides whose result it may share."""

from typing import Any

import pytest

from modelpool.jobs import FINAL_STATES, JobRequest, JobState
from modelpool.resources.models import Task


def a_request(**changes: Any) -> JobRequest:
    fields: dict[str, Any] = {
        "model": "flat",
        "revision": "r1",
        "task": Task.TEXT_TO_IMAGE,
        "prompt": "a red circle",
        "width": 64,
        "height": 64,
        "steps": 16,
        "guidance": 3.0,
        "seed": 7,
    }
    return JobRequest.model_validate(fields | changes)


@pytest.mark.parametrize(
    "changes",
    [{"model": "neon"}, {"revision": "r2"}, {"width": 128}, {"height": 128}, {"frames": 8}, {"adapters": ("lora",)}],
)
def test_tensors_of_another_shape_do_not_share_a_forward_pass(changes: dict[str, Any]) -> None:
    assert a_request(**changes).shape_key() != a_request().shape_key()


@pytest.mark.parametrize("changes", [{"prompt": "a blue star"}, {"seed": 8}, {"negative_prompt": "x"}, {"steps": 9}])
def test_what_differs_per_sample_leaves_the_shape_key_alone(changes: dict[str, Any]) -> None:
    assert a_request(**changes).shape_key() == a_request().shape_key()


def test_the_order_of_adapters_does_not_matter() -> None:
    assert a_request(adapters=("a", "b")).shape_key() == a_request(adapters=("b", "a")).shape_key()


@pytest.mark.parametrize("changes", [{"steps": 8}, {"guidance": 1.5}, {"scheduler": "ddim"}])
def test_parameters_that_a_pipeline_takes_once_split_a_batch(changes: dict[str, Any]) -> None:
    assert a_request(**changes).parameter_key() != a_request().parameter_key()


def test_parameters_that_the_task_does_not_use_split_nothing() -> None:
    assert a_request(fps=24, motion=1, strength=0.1).parameter_key() == a_request().parameter_key()


@pytest.mark.parametrize(
    ("task", "changes"),
    [
        (Task.IMAGE_TO_IMAGE, {"strength": 0.1}),
        (Task.IMAGE_TO_VIDEO, {"fps": 24}),
        (Task.IMAGE_TO_VIDEO, {"motion": 1}),
    ],
)
def test_parameters_that_the_task_uses_split_a_batch(task: Task, changes: dict[str, Any]) -> None:
    assert a_request(task=task, **changes).parameter_key() != a_request(task=task).parameter_key()


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 8},
        {"prompt": "a red circle "},
        {"negative_prompt": "x"},
        {"format": "webp"},
        {"quality": 80},
        {"revision": "r2"},
        {"input": "inputs/ab.png"},
        {"strength": 0.1},
    ],
)
def test_anything_that_may_change_the_bytes_changes_the_digest(changes: dict[str, Any]) -> None:
    assert a_request(**changes).digest("e1") != a_request().digest("e1")


def test_another_engine_has_another_digest_and_the_same_job_the_same() -> None:
    assert a_request().digest("e1") != a_request().digest("e2")
    assert a_request().digest("e1") == a_request().digest("e1")


def test_a_request_reads_back_from_its_json_even_with_fields_of_a_later_version() -> None:
    text = a_request().to_json()
    assert JobRequest.model_validate_json(text[:-1] + ',"later":1}') == a_request()


def test_four_states_are_final() -> None:
    assert {state for state in JobState if state.is_final} == FINAL_STATES
    assert len(FINAL_STATES) == 4
