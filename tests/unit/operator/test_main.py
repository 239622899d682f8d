"""The operator as a process: quick to start, light, and clear about what it cannot work with."""

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

import modelpool
from modelpool_operator.__main__ import EXIT_INVALID, main
from modelpool_operator.commands import kubernetes_options


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, timeout=60)


def test_it_imports_neither_torch_nor_web_frameworks() -> None:
    program = (
        "import sys, modelpool_operator.__main__\n"
        "print([m for m in ('torch', 'diffusers', 'numpy', 'fastapi', 'kopf', 'PIL') if m in sys.modules])"
    )
    found = python("-c", program)
    assert (found.returncode, found.stdout.strip()) == (0, "[]")


def test_it_starts_with_torch_blocked() -> None:
    program = "import sys; sys.modules['torch'] = None; import modelpool_operator.__main__"
    assert python("-c", program).returncode == 0


def test_help_names_every_option() -> None:
    shown = python("-m", "modelpool_operator", "local", "--help").stdout
    for option in ("--pool-file", "--redis-url", "--runtime-socket", "--listen-port"):
        assert option in shown


def test_the_cluster_s_options_are_variables_too_and_the_command_line_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {
        "MODELPOOL_REDIS_URL": "redis://r/0",
        "MODELPOOL_STORE_URL": "http://s/",
        "MODELPOOL_NAMESPACES": "",
        "MODELPOOL_WORKER_IMAGE": "modelpool/worker:1",
        "MODELPOOL_LISTEN_HOST": "0.0.0.0",
        "MODELPOOL_LISTEN_PORT": "9000",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    parser = argparse.ArgumentParser()
    kubernetes_options.add_options(parser)
    options = parser.parse_args(["--listen-port", "9001"])
    assert (options.redis_url, options.store_url) == ("redis://r/0", "http://s/")
    assert (options.namespaces, options.worker_image) == ("", "modelpool/worker:1")
    assert (options.listen_host, options.listen_port) == ("0.0.0.0", 9001)


def test_it_needs_no_installed_package_as_its_image_has_none() -> None:
    program = """
import importlib.metadata as metadata

def nothing(name):
    raise metadata.PackageNotFoundError(name)

metadata.version = metadata.distribution = nothing
from modelpool_operator.__main__ import main
main(["kubernetes", "--help"])
"""
    shown = python("-c", program)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert f"modelpool/worker:{modelpool.__version__}" in shown.stdout


def test_a_pool_that_cannot_work_is_one_line_and_an_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "pool.yaml"
    path.write_text("kind: ModelPool\n")
    options = [
        "local",
        "--pool-file",
        str(path),
        "--redis-url",
        "redis://127.0.0.1:1/0",
        "--runtime-socket",
        str(tmp_path / "s"),
    ]
    assert main(options) == EXIT_INVALID
    said = capsys.readouterr().err
    assert said.startswith(f"{path}: apiVersion: is required")
    assert said.count("\n") == 1
