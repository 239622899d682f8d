"""The operator as a process: quick to start, light, and clear about what it cannot work with."""

import subprocess
import sys
from pathlib import Path

import pytest

from modelpool_operator.__main__ import EXIT_INVALID, main


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
