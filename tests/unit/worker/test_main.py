from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from modelpool.resources.spec import Device
from modelpool_worker.config import EngineKind
from modelpool_worker.main import build_engine, config_of, main

REQUIRED = [
    *("--pool", "studio"),
    *("--slot", "studio-primary-0"),
    *("--redis-url", "redis://127.0.0.1:6379/0"),
    *("--store-url", "file:///tmp/results"),
    *("--models-dir", "models"),
    *("--vram", "1Gi"),
    *("--host-memory", "2Gi"),
]


def test_a_configuration_is_read_from_the_command_line() -> None:
    config = config_of([*REQUIRED, "--engine", "simulated", "--simulate", "load=2", "--threads", "1"])
    assert config.pool == "default/studio"
    assert (config.vram_bytes, config.host_memory_bytes) == (2**30, 2**31)
    assert config.models_dir == Path("models").resolve()
    assert (config.device, config.engine) == (Device.CPU, EngineKind.SIMULATED)
    assert config.timings.load == 2
    assert config.threads == 1


def test_a_configuration_survives_the_way_into_another_process() -> None:
    config = config_of(REQUIRED)
    assert pickle.loads(pickle.dumps(config)) == config  # noqa: S301  # our own


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "required"),
        ([*REQUIRED, "--vram", "lots"], "lots"),
        ([*REQUIRED, "--simulate", "speed=1"], "speed"),
    ],
)
def test_a_mistake_is_told_in_one_line(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exited:
        main(arguments)
    assert exited.value.code == 2
    assert complaint in capsys.readouterr().err.splitlines()[-1]


def test_help_shows_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        main(["--help"])
    assert exited.value.code == 0
    assert "examples:" in capsys.readouterr().out


def test_the_simulated_engine_needs_no_torch() -> None:
    engine, thread_start = build_engine(config_of([*REQUIRED, "--engine", "simulated"]))
    assert engine.version == "simulated-1"
    assert thread_start is None
