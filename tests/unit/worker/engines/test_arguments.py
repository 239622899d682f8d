from __future__ import annotations

import pytest
from PIL import Image

from modelpool.jobs import JobRequest
from modelpool.resources.models import Task
from modelpool_worker.engines.arguments import (
    DECODED_AT_ONCE,
    call_arguments,
    decode_chunk,
    fitted,
    mixes_empty_negatives,
    prompt_arguments,
    reason_unusable,
)

TEXT = frozenset(
    {"prompt", "negative_prompt", "width", "height", "num_inference_steps", "guidance_scale", "output_type"}
)
VIDEO = frozenset({"image", "width", "height", "num_frames", "fps", "motion_bucket_id", "max_guidance_scale", "min_guidance_scale",
                   "decode_chunk_size", "noise_aug_strength", "num_inference_steps"})  # fmt: skip


def ask(**changes: object) -> JobRequest:
    fields: dict[str, object] = {
        "model": "m", "revision": "1", "task": Task.TEXT_TO_IMAGE, "prompt": "red", "width": 64, "height": 32,
        "steps": 4, "guidance": 3.0, "seed": 1,
    }  # fmt: skip
    return JobRequest.model_validate(fields | changes)


def picture() -> Image.Image:
    return Image.new("RGB", (64, 32))


def test_a_pipeline_gets_only_what_it_takes() -> None:
    assert call_arguments([ask()], [None], frozenset({"height", "strength"})) == {"height": 32}


def test_text_to_image_gets_size_steps_and_guidance() -> None:
    arguments = call_arguments([ask()], [None], TEXT)
    assert arguments == {
        "width": 64, "height": 32, "num_inference_steps": 4, "guidance_scale": 3.0, "output_type": "np",
    }  # fmt: skip


def test_video_gets_frames_rate_and_motion() -> None:
    request = ask(task=Task.IMAGE_TO_VIDEO, frames=8, fps=6, motion=90, guidance=2.5)
    arguments = call_arguments([request], [picture()], VIDEO)
    assert arguments["num_frames"] == 8
    assert arguments["fps"] == 6
    assert arguments["motion_bucket_id"] == 90
    assert (arguments["min_guidance_scale"], arguments["max_guidance_scale"]) == (1.0, 2.5)


@pytest.mark.parametrize(
    ("frames", "expected"), [(1, 1), (2, 2), (4, 4), (8, 8), (13, 13), (14, 7), (16, 8), (24, 8), (25, 5)]
)
def test_a_chunk_never_holds_frames_of_two_videos(frames: int, expected: int) -> None:
    assert decode_chunk(frames) == expected


def test_every_chunk_divides_its_video() -> None:
    for frames in range(1, 200):
        assert frames % decode_chunk(frames) == 0
        assert decode_chunk(frames) <= DECODED_AT_ONCE or decode_chunk(frames) == frames


def test_no_negative_prompt_at_all_is_told_apart_from_an_empty_one() -> None:
    assert prompt_arguments([ask(), ask()], TEXT)["negative_prompt"] is None
    assert prompt_arguments([ask(), ask(negative_prompt="blue")], TEXT)["negative_prompt"] == ["", "blue"]


def test_mixed_negatives_are_noticed() -> None:
    assert mixes_empty_negatives([ask(), ask(negative_prompt="blue")])
    assert not mixes_empty_negatives([ask(), ask()])


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"adapters": ("a",)}, "adapters"),
        ({"task": Task.IMAGE_TO_VIDEO}, "image"),
        ({"task": Task.IMAGE_TO_IMAGE}, "image"),
    ],
)
def test_what_cannot_work_is_said_before_it_runs(changes: dict[str, object], param: str) -> None:
    error = reason_unusable(ask(**changes), None, TEXT)
    assert error is not None
    assert error.param == param


def test_a_strength_that_leaves_no_step_is_refused() -> None:
    request = ask(task=Task.IMAGE_TO_IMAGE, strength=0.2)
    error = reason_unusable(request, picture(), TEXT | {"image"})
    assert error is not None
    assert error.param == "strength"


def test_a_negative_prompt_that_nobody_reads_is_refused_only_where_it_would_count() -> None:
    takes_none = TEXT - {"negative_prompt"}
    assert reason_unusable(ask(negative_prompt="blue"), None, takes_none) is not None
    assert reason_unusable(ask(negative_prompt="blue", guidance=0), None, takes_none) is None


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P"])
def test_inputs_become_rgb_of_the_jobs_size(mode: str) -> None:
    image = fitted(Image.new(mode, (200, 50)), 64, 32)
    assert (image.mode, image.size) == ("RGB", (64, 32))


def test_an_input_of_the_right_size_is_left_alone() -> None:
    image = picture()
    assert fitted(image, 64, 32) is image
