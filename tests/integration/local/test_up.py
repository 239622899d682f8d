"""`modelpool up` as real processes, with the simulated engine."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from redis import Redis

from modelpool_cli.api import Api
from support import block_until, unused_port
from support.up_process import UpProcess

pytestmark = pytest.mark.timeout(180)


def make_picture(up: UpProcess, prompt: str = "a star", **more: object) -> dict[str, object]:
    with Api(up.url) as api:
        job = api.ended(api.submit({"model": "shapes-flat", "prompt": prompt, **more}))
        assert job["state"] == "succeeded", job
        assert api.download(job["result"]["url"]).startswith(b"\x89PNG")
    return job


def test_it_serves_and_ends_in_order_and_nothing_is_left(small: Path, tmp_path: Path) -> None:
    with UpProcess(small, tmp_path) as up:
        make_picture(up)
        up.signal(signal.SIGTERM)
        assert up.wait() == 0
        block_until(lambda: not up.left_over())
        assert up.lines[-1].endswith("stopped")


def test_what_was_made_is_still_known_after_a_restart(small: Path, tmp_path: Path) -> None:
    with UpProcess(small, tmp_path) as up:
        first = make_picture(up, seed=7)
        up.signal(signal.SIGINT)
        assert up.wait() == 0
    with UpProcess(small, tmp_path) as up, Api(up.url) as api:
        assert api.job(str(first["id"]))["state"] == "succeeded"
        assert make_picture(up, seed=7)["cached"]


@pytest.mark.parametrize("name", ["api", "operator", "redis"])
def test_a_part_that_is_killed_comes_back_and_the_service_recovers(small: Path, tmp_path: Path, name: str) -> None:
    with UpProcess(small, tmp_path) as up:
        part = up.part(name)
        assert part is not None
        workers = up.workers()
        part.kill()
        block_until(lambda: (again := up.part(name)) is not None and again != part)
        block_until(up.is_serving)
        make_picture(up)
        assert up.workers() == workers
        assert any(f"{name} was killed by SIGKILL; starts again in" in line for line in up.lines)


def test_a_killed_worker_comes_back(small: Path, tmp_path: Path) -> None:
    with UpProcess(small, tmp_path) as up:
        (worker,) = up.workers()
        worker.kill()
        block_until(lambda: up.workers() and up.workers() != [worker])
        make_picture(up)
        assert any("small-only-0 was killed by SIGKILL" in line for line in up.lines)


def test_a_killed_fork_server_takes_its_workers_along_and_all_come_back(small: Path, tmp_path: Path) -> None:
    with UpProcess(small, tmp_path) as up:
        (worker,) = up.workers()
        server = up.part("fork server")
        assert server is not None
        server.kill()
        block_until(lambda: not worker.is_running())
        block_until(lambda: up.workers() and up.workers() != [worker])
        make_picture(up)


def test_killing_the_supervisor_leaves_no_process(small: Path, tmp_path: Path) -> None:
    with UpProcess(small, tmp_path) as up:
        assert len(up.family()) >= 5
        up.signal(signal.SIGKILL)
        up.wait()
        block_until(lambda: not up.left_over())


def test_a_running_job_is_finished_before_the_end(small: Path, tmp_path: Path) -> None:
    with UpProcess(small, tmp_path, timings="step=0.3") as up, Api(up.url) as api:
        job = api.submit({"model": "shapes-flat", "prompt": "a star", "steps": 8})
        block_until(lambda: api.job(job["id"])["state"] == "running")
        up.signal(signal.SIGTERM)
        assert up.wait() == 0
        assert list((up.state / "store" / "results").glob("*.png"))


def test_a_second_signal_ends_at_once(small: Path, tmp_path: Path) -> None:
    with UpProcess(small, tmp_path, timings="step=60", more=["--grace", "300"]) as up, Api(up.url) as api:
        job = api.submit({"model": "shapes-flat", "prompt": "a star"})
        block_until(lambda: api.job(job["id"])["state"] == "running")
        up.signal(signal.SIGTERM)
        block_until(lambda: any("draining" in line for line in up.lines))
        up.signal(signal.SIGTERM)
        assert up.wait() == 0
        block_until(lambda: not up.left_over())


def unloadable(pool_file: Path, model: str, folder: Path) -> Path:
    """The pool with one model that the simulated engine cannot load either: its source leaves the models' folder."""
    file = folder / "unloadable.yaml"
    file.write_text(pool_file.read_text().replace(f"file:///models/{model}", f"file:///models/../{model}"))
    return file


def test_a_pool_of_which_nothing_can_be_loaded_ends_with_the_reason(small: Path, tmp_path: Path) -> None:
    up = UpProcess(unloadable(small, "shapes-flat", tmp_path), tmp_path)
    shown = subprocess.run(up.command, capture_output=True, text=True, check=False, timeout=60)
    assert shown.returncode == 16
    told = [line for line in shown.stdout.splitlines() if "shapes-flat could not be loaded" in line]
    assert len(told) == 1
    (line,) = shown.stderr.splitlines()
    assert "there is nothing to serve: shapes-flat cannot be loaded (the source 'file:///models/../shapes-flat'" in line
    assert "unloadable.yaml" in line


def test_an_always_model_that_cannot_be_loaded_is_told_and_the_others_are_served(trio: Path, tmp_path: Path) -> None:
    with UpProcess(unloadable(trio, "steady", tmp_path), tmp_path) as up, Api(up.url) as api:
        told = [line for line in up.lines if "steady could not be loaded" in line]
        assert len(told) == 1
        (ready,) = [line for line in up.lines if "ready after" in line]
        assert "without steady on trio-primary-0, steady on trio-primary-1: http" in ready
        assert api.ended(api.submit({"model": "first", "prompt": "a star"}))["state"] == "succeeded"
        up.signal(signal.SIGTERM)
        assert up.wait() == 0


def refused(up: UpProcess) -> tuple[int, str]:
    shown = subprocess.run(up.command, capture_output=True, text=True, check=False, timeout=60)
    (line,) = shown.stderr.splitlines()
    return shown.returncode, line


def test_a_taken_port_is_one_line_and_its_exit_code(small: Path, tmp_path: Path) -> None:
    up = UpProcess(small, tmp_path)
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", up.port))
        holder.listen()
        code, line = refused(up)
    assert code == 12
    assert line == f"modelpool: port {up.port} on 127.0.0.1 is taken; choose another with --port"


def test_a_missing_model_is_one_line_and_its_exit_code(small: Path, tmp_path: Path) -> None:
    up = UpProcess(small, tmp_path, more=["--models", str(tmp_path)])
    up.command = [word for word in up.command if not word.startswith("--simulated")]
    code, line = refused(up)
    assert code == 11
    assert f"the folder {tmp_path}/shapes-flat does not exist" in line


def test_a_state_folder_in_use_is_one_line_and_its_exit_code(small: Path, tmp_path: Path) -> None:
    with UpProcess(small, tmp_path) as up:
        code, line = refused(UpProcess(small, tmp_path))
        assert code == 14
        assert f"in use by another `modelpool up` (process {up.process.pid})" in line


def test_a_part_that_cannot_start_ends_it_with_what_that_part_said(small: Path, tmp_path: Path) -> None:
    up = UpProcess(small, tmp_path)
    broken = {**os.environ, "MODELPOOL_ACCESS_LOG": "perhaps"}
    shown = subprocess.run(up.command, capture_output=True, text=True, check=False, timeout=60, env=broken)
    assert shown.returncode == 16
    assert "api cannot be started" in shown.stderr
    assert "perhaps" in shown.stderr


@pytest.mark.parametrize(
    "more",
    [["--api-keys", "missing.yaml"], ["--store", "gs://bucket"], ["--simulated", "load=x"]],
    ids=lambda more: more[0],
)
def test_an_option_that_cannot_work_is_one_line_and_nothing_is_started(
    small: Path, tmp_path: Path, more: list[str]
) -> None:
    code, line = refused(UpProcess(small, tmp_path, more=more))
    assert code == 2
    assert more[0] in line
    assert not (tmp_path / "state").exists()


def test_another_redis_may_be_used(small: Path, tmp_path: Path, redis_url_any: str) -> None:
    with UpProcess(small, tmp_path, more=["--redis-url", redis_url_any]) as up:
        assert up.part("redis") is None
        make_picture(up)
        shown = [word for process in up.family() for word in process.cmdline()]
        assert shown
        assert not [word for word in shown if redis_url_any in word], "everybody could read the password in it"


def ended_with(small: Path, state: Path, redis_url: str) -> subprocess.CompletedProcess[str]:
    """What a start with this Redis came to, and said."""
    command = UpProcess(small, state, more=["--redis-url", redis_url]).command
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_a_redis_that_does_not_answer_is_one_line_without_its_password(small: Path, tmp_path: Path) -> None:
    url = f"redis://:secret@127.0.0.1:{unused_port()}/0"
    shown = ended_with(small, tmp_path, url)
    assert shown.returncode == 16
    assert "no Redis answers at 127.0.0.1" in shown.stderr
    assert "secret" not in shown.stderr + shown.stdout


def test_a_redis_that_throws_jobs_away_is_refused(small: Path, tmp_path: Path, redis_url_any: str) -> None:
    with Redis.from_url(redis_url_any) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            shown = ended_with(small, tmp_path, redis_url_any)
        finally:
            client.config_set("maxmemory-policy", "noeviction")
    assert shown.returncode == 16
    assert "throws queued jobs away" in shown.stderr


def test_status_shows_slots_and_models_from_another_terminal(small: Path, tmp_path: Path) -> None:
    with UpProcess(small, tmp_path) as up:
        shown = subprocess.run(
            [sys.executable, "-m", "modelpool_cli", "status", "--state", str(up.state)],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
            env={**os.environ, "COLUMNS": "160"},
        )
    assert "small-only-0" in shown.stdout
    assert "shapes-flat" in shown.stdout
