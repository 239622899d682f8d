from __future__ import annotations

import io

import av
import numpy as np
import pytest
from PIL import Image

from modelpool.errors import EngineError, UnusableJob
from modelpool.jobs import JobRequest, Lane
from modelpool.queue.port import Batch, ClaimedJob
from modelpool.resources.models import Task
from modelpool.store.keys import require_valid
from modelpool_worker import finish
from modelpool_worker.engines.protocol import Frames
from modelpool_worker.finish import durations_of, encode, new_key

PROMPT = "a secret prompt"


def ask(**changes: object) -> JobRequest:
    fields: dict[str, object] = {
        "model": "flat", "revision": "1", "task": Task.TEXT_TO_IMAGE, "prompt": PROMPT, "width": 16, "height": 16,
        "steps": 1, "guidance": 1.0, "seed": 4711,
    }  # fmt: skip
    return JobRequest.model_validate(fields | changes)


def frames(count: int = 1, height: int = 16, width: int = 16) -> Frames:
    """A red field that becomes blue."""
    made = np.zeros((count, height, width, 3), np.uint8)
    made[..., 0] = np.linspace(255, 0, count).astype(np.uint8)[:, None, None]
    made[..., 2] = 255 - made[..., 0]
    return made


def claimed(enqueued_at: int) -> ClaimedJob:
    return ClaimedJob("job", ask(), Lane.PAID, 1.0, 0, False, enqueued_at, 10**12)


@pytest.mark.parametrize(("kind", "name"), [("png", "PNG"), ("webp", "WEBP"), ("jpeg", "JPEG")])
def test_a_picture_is_encoded_as_asked_for(kind: str, name: str) -> None:
    image = Image.open(io.BytesIO(encode(frames(), ask(format=kind))))
    assert image.format == name
    pixel = image.convert("RGB").getpixel((8, 8))
    assert isinstance(pixel, tuple)
    assert pixel[0] > 240
    assert pixel[2] < 20


def test_png_keeps_every_bit() -> None:
    picture = np.random.default_rng(1).integers(0, 256, (1, 16, 24, 3), np.uint8)
    decoded = np.asarray(Image.open(io.BytesIO(encode(picture, ask(format="png")))))
    assert (decoded == picture[0]).all()


@pytest.mark.parametrize("kind", ["png", "webp", "jpeg", "mp4"])
def test_a_file_says_model_and_seed_but_never_the_prompt(kind: str) -> None:
    data = encode(frames(2 if kind == "mp4" else 1), ask(format=kind))
    assert b"4711" in data
    assert b"flat" in data
    assert PROMPT.encode() not in data


def test_lower_quality_is_smaller() -> None:
    picture = np.random.default_rng(1).integers(0, 256, (1, 64, 64, 3), np.uint8)
    sizes = [len(encode(picture, ask(format="jpeg", quality=quality))) for quality in (30, 95)]
    assert sizes[0] < sizes[1]


@pytest.mark.parametrize(("width", "height"), [(32, 32), (33, 31)])
def test_a_video_has_its_frames_rate_and_an_even_size(width: int, height: int) -> None:
    data = encode(frames(8, height, width), ask(format="mp4", fps=5))
    with av.open(io.BytesIO(data), "r") as container:
        stream = container.streams.video[0]
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert stream.average_rate == 5
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
    assert [picture.shape for picture in decoded] == [(height + height % 2, width + width % 2, 3)] * 8
    assert decoded[0][8, 8, 0] > 200 > 60 > decoded[-1][8, 8, 0]


def test_without_an_encoder_a_video_fails_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finish, "_VIDEO_CODECS", ("vvc", "none"))  # the first can be read only
    with pytest.raises(EngineError, match="FFmpeg"):
        encode(frames(2), ask(format="mp4"))


def test_a_codec_that_can_only_be_read_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "vvc" in av.codecs_available
    monkeypatch.setattr(finish, "_VIDEO_CODECS", ("vvc", "mpeg4"))
    with av.open(io.BytesIO(encode(frames(2), ask(format="mp4"))), "r") as container:
        assert container.streams.video[0].codec_context.name == "mpeg4"


def test_a_video_cannot_become_a_picture() -> None:
    with pytest.raises(UnusableJob):
        encode(frames(4), ask(format="png"))


def test_keys_are_valid_and_never_the_same() -> None:
    keys = {new_key(ask(format="webp")) for _ in range(100)}
    assert len(keys) == 100
    for key in keys:
        require_valid(key)
        assert key.endswith(".webp")


@pytest.mark.parametrize(
    ("loaded", "expected"),
    [
        ([], 0),
        ([(0, 500)], 0),
        ([(500, 1500)], 500),
        ([(1200, 1700)], 500),
        ([(1800, 2500)], 200),
        ([(0, 9000)], 1000),
        ([(3000, 4000)], 0),
        ([(500, 1500), (1600, 1700)], 600),
    ],
)
def test_loading_counts_while_the_job_waited(loaded: list[tuple[int, int]], expected: int) -> None:
    job = claimed(enqueued_at=1000)
    durations = durations_of(job, Batch("lease", (job,), claimed_at=2000), loaded, 70, 50)
    assert (durations.waited, durations.loaded, durations.ran, durations.computed) == (1000, expected, 70, 50)


def test_clocks_that_disagree_give_no_negative_times() -> None:
    job = claimed(enqueued_at=3000)
    durations = durations_of(job, Batch("lease", (job,), claimed_at=2000), [(0, 9000)], -5, 0)
    assert (durations.waited, durations.loaded, durations.ran) == (0, 0, 0)
