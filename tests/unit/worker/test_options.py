from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from modelpool.resources.spec import Device
from modelpool_worker.config import EngineKind
from modelpool_worker.options import config_of

REQUIRED = [
    *("--pool", "studio"),
    *("--slot", "studio-primary-0"),
    *("--redis-url", "redis://127.0.0.1:6379/0"),
    *("--store-url", "file:///tmp/results"),
    *("--models-dir", "models"),
    *("--vram", "1Gi"),
    *("--host-memory", "2Gi"),
]
VARIABLES = {
    "MODELPOOL_POOL": "studio",
    "MODELPOOL_SLOT": "studio-primary-0",
    "MODELPOOL_REDIS_URL": "redis://:secret@127.0.0.1:6379/0",
    "MODELPOOL_STORE_URL": "file:///tmp/results",
    "MODELPOOL_MODELS_DIR": "/models",
    "MODELPOOL_VRAM": "1Gi",
    "MODELPOOL_HOST_MEMORY": "2Gi",
}


def test_a_configuration_is_read_from_the_command_line() -> None:
    config = config_of([*REQUIRED, "--engine", "simulated", "--simulate", "load=2", "--threads", "1"], {})
    assert config.pool == "default/studio"
    assert (config.vram_bytes, config.host_memory_bytes) == (2**30, 2**31)
    assert config.models_dir == Path("models").resolve()
    assert (config.device, config.engine) == (Device.CPU, EngineKind.SIMULATED)
    assert config.timings.load == 2
    assert config.threads == 1


def test_a_configuration_is_read_from_variables_alone() -> None:
    more = {
        "MODELPOOL_DEVICE": "cuda",
        "MODELPOOL_THREADS": "3",
        "MODELPOOL_GRACE_SECONDS": "7.5",
        "MODELPOOL_LISTEN_HOST": "0.0.0.0",
        "MODELPOOL_LISTEN_PORT": "8082",
        "MODELPOOL_CACHE_DIR": "/cache",
        "MODELPOOL_LOG_LEVEL": "debug",
    }
    config = config_of([], VARIABLES | more)
    assert config.redis_url == VARIABLES["MODELPOOL_REDIS_URL"]
    assert config.models_dir == Path("/models")
    assert (config.device, config.threads, config.grace_seconds) == (Device.CUDA, 3, 7.5)
    assert (config.http_host, config.http_port) == ("0.0.0.0", 8082)
    assert (config.cache_dir, config.log_level) == (Path("/cache"), "DEBUG")


def test_the_command_line_wins_over_variables() -> None:
    assert config_of(["--slot", "other-1"], VARIABLES).slot == "other-1"


def test_an_empty_variable_counts_as_none() -> None:
    assert config_of([], VARIABLES | {"MODELPOOL_THREADS": ""}).threads is None


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MODELPOOL_DEVICE", "tpu"),
        ("MODELPOOL_VRAM", "lots"),
        ("MODELPOOL_THREADS", "some"),
        ("MODELPOOL_LOG_LEVEL", "loud"),
        ("MODELPOOL_POOL", ""),
    ],
)
def test_a_variable_that_cannot_work_is_told_like_an_option(
    variable: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exited:
        config_of([], VARIABLES | {variable: value})
    assert exited.value.code == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert value.upper() in said.upper()
    assert "secret" not in said


def test_a_timing_that_no_engine_knows_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        config_of(["--simulate", "speed=1"], VARIABLES)
    assert "speed" in capsys.readouterr().err.splitlines()[-1]


def test_help_shows_examples_and_the_variable_of_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        config_of(["--help"], VARIABLES)
    assert exited.value.code == 0
    said = capsys.readouterr().out
    assert "examples:" in said
    assert all(variable in said for variable in VARIABLES)
    assert "MODELPOOL_LISTEN_PORT" in said
    assert "secret" not in said


@pytest.mark.parametrize(
    ("devices", "reported"),
    [
        (None, "cpu"),
        ("", "cpu"),
        ("all", "cpu"),
        ("none", "cpu"),
        ("void", "cpu"),
        ("GPU-1,GPU-2", "cpu"),
        ("GPU-7a1d", "GPU-7a1d"),
    ],
)
def test_on_a_cpu_the_id_that_a_device_plugin_gave_stands_for_the_device(devices: str | None, reported: str) -> None:
    environment = VARIABLES | ({} if devices is None else {"NVIDIA_VISIBLE_DEVICES": devices})
    assert config_of([], environment).cpu_id == reported


def test_a_configuration_survives_the_way_into_another_process() -> None:
    config = config_of(REQUIRED, {})
    assert pickle.loads(pickle.dumps(config)) == config  # noqa: S301  # our own
