"""What every engine promises a worker: the same tests for the real one and the simulated one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modelpool.errors import EngineError, UnusableJob
from modelpool.jobs import JobRequest
from modelpool.resources.models import Task
from modelpool_worker.engines.diffusers import DiffusersEngine
from modelpool_worker.engines.protocol import Engine, Frames, Outcome, Resident, Step, Stopped
from modelpool_worker.engines.simulated import SimulatedEngine
from support.pipelines import SIZE
from support.worker import model

TOLERANCE = 2.0
"""Mean absolute difference of pictures in steps of 1/255: batched matrix products are not bit-identical."""

Generate = Callable[..., list[Outcome]]


@dataclass
class Subject:
    """One engine with a model for pictures and one for videos."""

    engine: Engine
    pictures: Resident
    videos: Resident


@pytest.fixture(scope="module", params=["diffusers", "simulated"])
def subject(request: pytest.FixtureRequest, picture_model: Path, video_model: Path) -> Iterator[Subject]:
    engine: Engine = DiffusersEngine("cpu") if request.param == "diffusers" else SimulatedEngine()
    pictures = engine.load(model("pictures"), picture_model, lambda share: None)
    videos = engine.load(model("videos"), video_model, lambda share: None)
    for resident in (pictures, videos):
        resident.to_hot()
    yield Subject(engine, pictures, videos)
    for resident in (pictures, videos):
        resident.evict()


def ask(seed: int = 1, prompt: str = "red", **changes: object) -> JobRequest:
    fields: dict[str, object] = {
        "model": "pictures", "revision": "1", "task": Task.TEXT_TO_IMAGE, "prompt": prompt, "width": SIZE,
        "height": SIZE, "steps": 3, "guidance": 3.0, "seed": seed,
    }  # fmt: skip
    return JobRequest.model_validate(fields | changes)


def ask_video(seed: int = 1, frames: int = 4, **changes: object) -> JobRequest:
    return ask(seed, "", model="videos", task=Task.IMAGE_TO_VIDEO, frames=frames, **changes)


def image(shade: int = 99) -> Image.Image:
    return Image.new("RGB", (SIZE, SIZE), (shade, 200, 30))


def run(resident: Resident, *requests: JobRequest, images: list[Image.Image | None] | None = None) -> list[Outcome]:
    return resident.generate(requests, images or [None] * len(requests), lambda step: None, lambda: False)


def frames(outcome: Outcome) -> Frames:
    assert not isinstance(outcome, EngineError), outcome
    return outcome


def difference(one: Outcome, other: Outcome) -> float:
    return float(np.abs(frames(one).astype(float) - frames(other).astype(float)).mean())


def test_a_picture_has_the_size_asked_for(subject: Subject) -> None:
    [outcome] = run(subject.pictures, ask(width=40, height=24))
    assert frames(outcome).shape == (1, 24, 40, 3)
    assert frames(outcome).dtype == np.uint8


def test_a_video_has_the_frames_asked_for(subject: Subject) -> None:
    [outcome] = run(subject.videos, ask_video(frames=3), images=[image()])
    assert frames(outcome).shape == (3, SIZE, SIZE, 3)


def test_the_same_seed_gives_the_same_picture(subject: Subject) -> None:
    [one], [other] = run(subject.pictures, ask(5)), run(subject.pictures, ask(5))
    assert difference(one, other) == 0


def test_another_seed_gives_another_picture(subject: Subject) -> None:
    one, other = run(subject.pictures, ask(5), ask(6))
    assert difference(one, other) > TOLERANCE


def test_a_picture_does_not_depend_on_its_company(subject: Subject) -> None:
    requests = [ask(seed, prompt) for seed, prompt in enumerate(["red", "a blue square", "on the left", ""])]
    together = run(subject.pictures, *requests)
    for request, outcome in zip(requests, together, strict=True):
        assert difference(run(subject.pictures, request)[0], outcome) <= TOLERANCE


def test_negative_prompts_of_others_change_nothing(subject: Subject) -> None:
    plain, negative = ask(3), ask(4, negative_prompt="blue")
    together = run(subject.pictures, plain, negative)
    for request, outcome in zip([plain, negative], together, strict=True):
        assert difference(run(subject.pictures, request)[0], outcome) <= TOLERANCE


def test_a_video_does_not_depend_on_its_company(subject: Subject) -> None:
    requests, images = [ask_video(1), ask_video(2)], [image(20), image(220)]
    together = run(subject.videos, *requests, images=[*images])
    for request, picture, outcome in zip(requests, images, together, strict=True):
        assert difference(run(subject.videos, request, images=[picture])[0], outcome) <= TOLERANCE


def test_an_input_of_another_size_is_fitted(subject: Subject) -> None:
    wide = Image.new("RGBA", (100, 30), (10, 20, 30, 255))
    outcomes = run(subject.videos, ask_video(), ask_video(2), images=[wide, image()])
    assert [frames(outcome).shape for outcome in outcomes] == [(4, SIZE, SIZE, 3)] * 2


def test_every_step_is_told_in_order(subject: Subject) -> None:
    told: list[tuple[int, int]] = []
    subject.pictures.generate([ask()], [None], lambda step: told.append((step.step, step.steps)), lambda: False)
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_a_preview_is_a_small_picture_of_one_member(subject: Subject) -> None:
    run(subject.pictures, ask())  # the first picture teaches the real engine its colours
    made: list[Frames] = []

    def on_step(step: Step) -> None:
        assert step.preview is not None
        made.extend([step.preview(0), step.preview(1)])

    subject.pictures.generate([ask(1), ask(2)], [None, None], on_step, lambda: False)
    assert len(made) == 6
    assert all(preview.shape[0] == 1 and preview.shape[1] <= SIZE and preview.dtype == np.uint8 for preview in made)
    assert (made[0] != made[1]).any()


@pytest.mark.parametrize("task", [Task.TEXT_TO_IMAGE, Task.IMAGE_TO_VIDEO])
def test_it_stops_at_the_next_step_when_told_to(subject: Subject, task: Task) -> None:
    steps: list[int] = []
    video = task is Task.IMAGE_TO_VIDEO
    resident, request = (subject.videos, ask_video(steps=5)) if video else (subject.pictures, ask(steps=5))
    with pytest.raises(Stopped):
        resident.generate([request], [image()], lambda step: steps.append(step.step), lambda: len(steps) == 2)
    assert steps == [1, 2]
    assert frames(run(resident, request, images=[image()])[0]).any(), "the next batch runs as ever"


def test_one_unusable_member_does_not_harm_the_others(subject: Subject) -> None:
    good, bad = run(subject.videos, ask_video(1), ask_video(2), images=[image(), None])
    assert isinstance(bad, UnusableJob)
    assert frames(good).any()


def test_adapters_are_refused(subject: Subject) -> None:
    [outcome] = run(subject.pictures, ask(adapters=("style",)))
    assert isinstance(outcome, UnusableJob)


def test_it_comes_back_from_warm(subject: Subject) -> None:
    [before] = run(subject.pictures, ask(8))
    subject.pictures.to_warm()
    subject.pictures.to_hot()
    assert difference(before, run(subject.pictures, ask(8))[0]) == 0


def test_weights_are_measured(subject: Subject) -> None:
    assert subject.pictures.weights_bytes > 0
