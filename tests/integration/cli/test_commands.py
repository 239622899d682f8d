"""The commands against a running pool, as processes of their own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from redis import Redis

from modelpool.resources.pool import PoolRef
from modelpool_local.state import redis_url_of
from support import block_until
from support.up_process import UpProcess

PROMPT = "a red circle on the left on a blue background"
SMALL = Path(__file__).parents[3] / "examples" / "small.yaml"


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UpProcess]:
    with UpProcess(SMALL, tmp_path_factory.mktemp("up"), timings="step=0.05") as up:
        yield up


def command(up: UpProcess, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "modelpool_cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=folder,
        env={**os.environ, "MODELPOOL_URL": up.url, "COLUMNS": "120"},
    )


def test_submit_saves_the_picture_and_says_where_the_time_went(up: UpProcess, tmp_path: Path) -> None:
    shown = command(up, tmp_path, "submit", PROMPT, "-m", "shapes-flat", "-o", "circle.png", "--seed", "1")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.startswith("circle.png: 64×64, seed 1, waited ")
    with Image.open(tmp_path / "circle.png") as picture:
        assert (picture.format, picture.size) == ("PNG", (64, 64))


def test_the_same_again_comes_from_the_cache(up: UpProcess, tmp_path: Path) -> None:
    runs = [
        command(up, tmp_path, "submit", PROMPT, "-m", "shapes-flat", "-o", f"{name}.webp", "--seed", "2")
        for name in ("first", "second")
    ]
    assert runs[1].stdout == "second.webp: 64×64, seed 2, from the cache\n"
    assert (tmp_path / "first.webp").read_bytes() == (tmp_path / "second.webp").read_bytes()


def test_without_a_name_the_file_is_named_after_model_and_seed(up: UpProcess, tmp_path: Path) -> None:
    shown = command(up, tmp_path, "submit", PROMPT, "-m", "shapes-flat", "--seed", "3", "--json")
    job = json.loads(shown.stdout)
    assert job["file"] == "shapes-flat-3.png"
    with Image.open(BytesIO((tmp_path / job["file"]).read_bytes())) as picture:
        assert picture.size == (64, 64)


def test_sending_without_waiting_prints_the_id_which_can_be_cancelled(up: UpProcess, tmp_path: Path) -> None:
    slow = ("submit", PROMPT, "-m", "shapes-flat", "--steps", "50", "--seed", "random", "--no-wait")
    sent = [command(up, tmp_path, *slow).stdout.split() for _ in range(2)]
    job = sent[-1][0]
    shown = command(up, tmp_path, "cancel", job)
    assert shown.stdout == f"{job} cancelled\n"


def test_a_refused_job_is_one_line_and_its_exit_code(up: UpProcess, tmp_path: Path) -> None:
    shown = command(up, tmp_path, "submit", PROMPT, "-m", "shapes-flat", "--steps", "51")
    assert shown.returncode == 4
    assert shown.stdout == ""
    (line,) = shown.stderr.splitlines()
    assert line.startswith("modelpool: ")
    assert "50" in line


def test_a_failed_job_is_one_line_and_its_exit_code(up: UpProcess, tmp_path: Path) -> None:
    shown = command(up, tmp_path, "submit", "[unusable]", "-m", "shapes-flat", "-o", "never.png")
    assert shown.returncode == 1
    assert "failed: no retry can help this job" in shown.stderr
    assert not (tmp_path / "never.png").exists()


def test_an_unknown_model_is_told_apart_from_a_server_that_is_away(up: UpProcess, tmp_path: Path) -> None:
    assert command(up, tmp_path, "submit", PROMPT, "-m", "shapes-flt").returncode == 4
    assert command(up, tmp_path, "submit", PROMPT, "-m", "shapes-flat", "--url", "http://127.0.0.1:1").returncode == 3


def test_models_are_shown_as_a_table_and_as_json(up: UpProcess, tmp_path: Path) -> None:
    shown = command(up, tmp_path, "models").stdout
    assert "shapes-flat" in shown
    assert "TextToImage" in shown
    (model,) = json.loads(command(up, tmp_path, "models", "--json").stdout)
    assert (model["id"], model["state"], model["replicas"]) == ("shapes-flat", "hot", 1)


def test_the_queue_of_a_running_pool_is_found_and_is_well(up: UpProcess, tmp_path: Path) -> None:
    command(up, tmp_path, "submit", PROMPT, "-m", "shapes-flat", "-o", "any.png", "--seed", "5")
    checked = command(up, tmp_path, "queue", "check", "--state", str(up.state), "--json")
    assert (checked.returncode, checked.stderr) == (0, "")
    (report,) = json.loads(checked.stdout)
    assert (report["pool"], report["findings"]) == ("default/small", [])
    listed = json.loads(command(up, tmp_path, "queue", "ls", "--all", "--state", str(up.state), "--json").stdout)
    assert "succeeded" in {group["state"] for group in listed["groups"]}


def test_submit_waits_through_a_restart_of_the_api(up: UpProcess, tmp_path: Path) -> None:
    api = up.part("api")
    assert api is not None
    jobs = PoolRef("default", "small").key("job", "*")
    with Redis.from_url(redis_url_of(up.state)) as client:
        before = set(client.scan_iter(jobs))
    waiting = subprocess.Popen(
        [
            *(sys.executable, "-m", "modelpool_cli", "submit", PROMPT, "-m", "shapes-flat"),
            *("--steps", "50", "--seed", "99", "-o", "late.png", "--url", up.url),
        ],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    with Redis.from_url(redis_url_of(up.state)) as client:
        block_until(lambda: set(client.scan_iter(jobs)) - before)
    api.kill()
    shown, _ = waiting.communicate(timeout=60)
    assert waiting.returncode == 0
    assert shown.startswith("late.png: 64×64, seed 99")
