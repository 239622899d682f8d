"""From a body and a model to a complete job."""

from __future__ import annotations

from typing import Any

import pytest

from modelpool.documents import CatalogModel
from modelpool.errors import InvalidInput
from modelpool.jobs import JobRequest
from modelpool.resources.models import Task
from modelpool_api.requests import resolve
from modelpool_api.schemas import JobBody


def model(**changes: Any) -> CatalogModel:
    return CatalogModel.model_validate(
        {
            "name": "m",
            "tier": "t",
            "policy": "Always",
            "tasks": ["TextToImage", "ImageToImage"],
            "source": {"uri": "file:///m"},
            "revision": "r7",
            "weightsBytes": 1,
            "activationsBytes": 1,
            "defaults": {
                "width": 512,
                "height": 256,
                "steps": 10,
                "guidance": 3.5,
                "strength": 0.7,
                "fps": 6,
                "motion": 9,
            },
            "limits": {"maxPixels": 262144, "maxSteps": 20, "maxFrames": 1, "sizeMultiple": 16},
            "batch": {"max": 4},
            "secondsPerMegapixelStep": 0.1,
            "styles": [
                {"name": "anime", "prompt": "{prompt}, cel shading", "negative": "photo"},
                {"name": "plain", "prompt": "only {prompt}"},
            ],
            **changes,
        }
    )


IMAGE = model()
VIDEO = model(
    tasks=["ImageToVideo", "TextToVideo"],
    defaults={"width": 512, "height": 256, "steps": 10, "frames": 14, "fps": 6, "motion": 9},
    limits={"maxPixels": 262144, "maxSteps": 20, "maxFrames": 25, "sizeMultiple": 16},
)


def ask(of: CatalogModel = IMAGE, *, has_image: bool = False, **fields: Any) -> JobRequest:
    body = JobBody.model_validate({"model": "m", "prompt": "a cat", **fields})
    return resolve(body, of, seed=5, has_image=has_image)


def test_the_models_defaults_fill_what_is_not_said() -> None:
    got = ask()
    assert (got.model, got.revision, got.task) == ("m", "r7", Task.TEXT_TO_IMAGE)
    assert (got.width, got.height, got.steps, got.guidance, got.seed) == (512, 256, 10, 3.5, 5)
    assert (got.frames, got.format, got.quality) == (1, "png", 90)


def test_what_is_said_wins_over_the_default_even_when_it_is_nothing() -> None:
    got = ask(width=256, steps=1, guidance=0, format="webp", quality=50)
    assert (got.width, got.height, got.steps, got.guidance, got.format, got.quality) == (256, 256, 1, 0, "webp", 50)


@pytest.mark.parametrize(
    ("of", "has_image", "task"),
    [
        (IMAGE, False, Task.TEXT_TO_IMAGE),
        (IMAGE, True, Task.IMAGE_TO_IMAGE),
        (VIDEO, False, Task.TEXT_TO_VIDEO),
        (VIDEO, True, Task.IMAGE_TO_VIDEO),
    ],
)
def test_the_task_follows_from_the_model_and_the_image(of: CatalogModel, has_image: bool, task: Task) -> None:
    assert ask(of, has_image=has_image).task is task


def test_a_video_has_its_defaults_and_its_format() -> None:
    got = ask(VIDEO, has_image=True)
    assert (got.frames, got.fps, got.motion, got.format) == (14, 6, 9, "mp4")
    assert ask(VIDEO, has_image=True, motion=0, fps=12, frames=25).motion == 0


def test_an_image_of_an_image_has_a_strength() -> None:
    assert ask(has_image=True).strength == 0.7
    assert ask(has_image=True, strength=0.2).strength == 0.2


def test_parameters_that_a_task_does_not_use_do_not_make_another_job() -> None:
    other_defaults = model(
        defaults={**IMAGE.defaults.model_dump(by_alias=True), "strength": 0.1, "fps": 3, "motion": 1}
    )
    assert ask().digest("v1") == ask(other_defaults).digest("v1")
    assert ask(quality=10).digest("v1") == ask(quality=90).digest("v1")  # png knows no quality


def test_a_style_puts_its_words_around_the_prompt() -> None:
    got = ask(style="anime", negativePrompt="blur")
    assert (got.prompt, got.negative_prompt) == ("a cat, cel shading", "photo, blur")
    got = ask(style="plain", prompt="{prompt} in braces")
    assert (got.prompt, got.negative_prompt) == ("only {prompt} in braces", "")


def test_a_video_of_an_image_needs_no_words() -> None:
    assert ask(VIDEO, has_image=True, prompt=None).prompt == ""


def test_spaces_around_the_words_do_not_count() -> None:
    assert ask(prompt="  a cat \n").digest("v1") == ask().digest("v1")


@pytest.mark.parametrize(
    ("of", "has_image", "fields", "param", "says"),
    [
        (IMAGE, False, {"prompt": "  "}, "prompt", "write a prompt"),
        (IMAGE, False, {"prompt": None}, "prompt", "write a prompt"),
        (IMAGE, False, {"width": 500}, "width", "the nearest is 496"),
        (IMAGE, False, {"height": 20}, "height", "the nearest is 16"),
        (IMAGE, False, {"width": 1024, "height": 1024}, "width", "at most 262144"),
        (IMAGE, False, {"steps": 21}, "steps", "at most 20"),
        (IMAGE, False, {"task": "ImageToVideo"}, "task", "it does TextToImage, ImageToImage"),
        (IMAGE, False, {"task": "ImageToImage"}, "image", "needs an image"),
        (IMAGE, True, {"task": "TextToImage"}, "image", "takes no image"),
        (IMAGE, False, {"style": "oil"}, "style", "it has: anime, plain"),
        (IMAGE, False, {"format": "mp4"}, "format", "png, webp, jpeg"),
        (IMAGE, False, {"frames": 2}, "frames", "belongs to videos"),
        (IMAGE, False, {"fps": 8}, "fps", "belongs to videos"),
        (IMAGE, False, {"strength": 0.5}, "strength", "belongs to ImageToImage"),
        (VIDEO, True, {"format": "png"}, "format", "gives mp4"),
        (VIDEO, True, {"frames": 26}, "frames", "at most 25"),
        (model(tasks=["TextToImage"]), True, {}, "image", "takes no image"),
        (model(tasks=["ImageToImage"]), False, {}, "image", "needs an image"),
    ],
)
def test_what_cannot_work_is_refused_with_the_field_and_the_cure(
    of: CatalogModel, has_image: bool, fields: dict[str, Any], param: str, says: str
) -> None:
    with pytest.raises(InvalidInput) as refusal:
        ask(of, has_image=has_image, **fields)
    assert refusal.value.param == param
    assert says in refusal.value.message
