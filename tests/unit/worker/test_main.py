from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest

from modelpool.errors import DeviceFailed
from modelpool.resources.spec import Device
from modelpool_worker.config import EngineKind, WorkerConfig
from modelpool_worker.main import build_engine, main


def configured(**changes: object) -> WorkerConfig:
    fields: dict[str, object] = {
        "pool": "default/studio",
        "slot": "studio-primary-0",
        "redis_url": "redis://127.0.0.1:6379/0",
        "store_url": "file:///tmp/results",
        "models_dir": Path("/models"),
        "vram_bytes": 2**30,
        "host_memory_bytes": 2**30,
    }
    return WorkerConfig(**(fields | changes))  # type: ignore[arg-type]


def test_a_mistake_is_told_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        main(["--slot", "studio-primary-0"])
    assert exited.value.code == 2
    assert "required" in capsys.readouterr().err.splitlines()[-1]


def test_the_simulated_engine_needs_no_torch() -> None:
    engine, thread_start = build_engine(configured(engine=EngineKind.SIMULATED))
    assert engine.version == "simulated-1"
    assert thread_start is None


@pytest.mark.parametrize("kind", list(EngineKind))
def test_an_engine_on_the_cpu_reports_the_id_it_was_told(kind: EngineKind) -> None:
    engine, _ = build_engine(configured(engine=kind, cpu_id="GPU-7a1d"))
    assert (engine.device.kind, engine.device.uuid) == ("cpu", "GPU-7a1d")


@pytest.mark.parametrize("visible", [0, 2])
def test_on_cuda_exactly_one_device_must_be_visible(visible: int) -> None:
    with (
        mock.patch("torch.cuda.device_count", return_value=visible),
        pytest.raises(DeviceFailed, match=f"exactly one visible CUDA device, not {visible}"),
    ):
        build_engine(configured(device=Device.CUDA))


def test_a_worker_that_is_done_says_its_last_words_and_ends_without_taking_itself_apart() -> None:
    code = """
import atexit, sys
from modelpool_worker.main import leave
atexit.register(print, "taken apart")
print("last words", end="")
leave(3)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (3, "last words", "")
