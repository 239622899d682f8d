from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console

from modelpool_cli.api import Api
from modelpool_cli.submit import SubmitOptions, body_of, describe, ending, submit, summary
from modelpool_local.exits import CommandFailed, Exit


def body(**options: Any) -> dict[str, Any]:
    return body_of(SubmitOptions(**{"prompt": "a star", "model": "m", **options}))


def test_what_was_not_given_is_left_to_the_model() -> None:
    assert body() == {"model": "m", "prompt": "a star"}


def test_options_are_spelled_as_the_api_spells_them() -> None:
    sent = body(negative_prompt="blur", width=64, height=32, steps=3, guidance=0.0, style="night", fresh=True)
    assert sent == {
        "model": "m",
        "prompt": "a star",
        "negativePrompt": "blur",
        "width": 64,
        "height": 32,
        "steps": 3,
        "guidance": 0.0,
        "style": "night",
        "cache": False,
    }


def test_a_seed_is_a_number_or_the_word_random() -> None:
    assert body(seed="7")["seed"] == 7
    assert body(seed="random")["seed"] == "random"


@pytest.mark.parametrize("seed", ["²", "٣", "-1", "1.5", "", "seven", "9" * 5000], ids=lambda seed: ascii(seed)[:9])
def test_what_is_no_number_goes_to_the_api_as_it_is_which_refuses_it(seed: str) -> None:
    assert body(seed=seed)["seed"] == seed


@pytest.mark.parametrize(
    ("name", "format"), [("a.png", "png"), ("a.JPG", "jpeg"), ("a.webp", "webp"), ("a.mp4", "mp4")]
)
def test_the_format_follows_from_the_files_name(name: str, format: str) -> None:
    assert body(out=Path(name))["format"] == format


def test_a_name_without_a_known_ending_needs_a_format() -> None:
    assert body(out=Path("picture"), format="webp")["format"] == "webp"
    with pytest.raises(CommandFailed, match=r"must end in \.png") as caught:
        body(out=Path("picture"))
    assert caught.value.code is Exit.USAGE


def test_a_file_is_not_given_a_name_that_says_another_format() -> None:
    assert body(out=Path("a.jpg"), format="jpeg")["format"] == "jpeg"
    with pytest.raises(CommandFailed, match=r"a\.png would hold webp") as caught:
        body(out=Path("a.png"), format="webp")
    assert caught.value.code is Exit.USAGE


def test_nothing_is_sent_when_the_picture_could_not_be_saved(tmp_path: Path) -> None:
    sent: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200, json={"id": "x-1", "state": "queued"})

    options = SubmitOptions("a star", "m", out=tmp_path / "missing" / "x.png")
    with Api("http://pool.test", transport=httpx.MockTransport(handle)) as api:
        with pytest.raises(CommandFailed, match=r"cannot write .*x\.png"):
            submit(api, options, Console(quiet=True), wait=True, as_json=False)
        assert not sent
        submit(api, options, Console(quiet=True), wait=False, as_json=False)
    assert len(sent) == 1


def test_an_image_is_sent_as_base64_or_as_another_jobs_id(tmp_path: Path) -> None:
    file = tmp_path / "in.png"
    file.write_bytes(b"abc")
    assert body(image=file)["image"] == {"base64": "YWJj"}
    assert body(image_job="x-1")["image"] == {"job": "x-1"}
    with pytest.raises(CommandFailed, match=r"cannot read .*missing\.png"):
        body(image=tmp_path / "missing.png")


@pytest.mark.parametrize(
    ("job", "words"),
    [
        (
            {"state": "queued", "position": 0, "eta": {"text": "model loading, 18 s"}},
            "next in line, model loading, 18 s",
        ),
        ({"state": "queued", "position": 3, "eta": {"text": "estimating"}}, "3 in front, estimating"),
        ({"state": "queued"}, "queued"),
        ({"state": "running", "eta": {"text": "about 2 s"}}, "running, about 2 s"),
        ({"state": "running"}, "running"),
        ({"state": "following"}, "the same is being made for somebody else"),
        ({"state": "cancelled"}, "cancelled"),
    ],
)
def test_where_a_job_stands_is_told_in_a_few_words(job: dict[str, Any], words: str) -> None:
    assert describe(job) == words


def test_a_finished_job_is_told_with_where_the_time_went() -> None:
    job = {
        "result": {"width": 64, "height": 64, "seed": 7},
        "durations": {"waited": 2500, "loaded": 1500, "ran": 800},
        "batchSize": 4,
    }
    assert summary(job) == "64×64, seed 7, waited 2.5 s (1.5 s of it loading), ran 0.8 s in a batch of 4"
    assert "loading" not in summary({**job, "durations": {"waited": 40, "loaded": 40, "ran": 800}})
    assert summary({**job, "cached": True}) == "64×64, seed 7, from the cache"


def test_an_unhappy_end_is_told_with_its_reason() -> None:
    failed = {"id": "x-1", "state": "failed", "error": {"code": "oom", "message": "out of memory"}}
    assert ending(failed) == "job x-1 failed: out of memory"
    assert ending({"id": "x-1", "state": "cancelled"}) == "job x-1 cancelled"
