from pathlib import Path

import pytest

from modelpool_training import train as training
from modelpool_training.__main__ import main
from modelpool_training.plan import FAST, OtherTraining, Plan


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[Path, Path, Plan]]:
    """Work folder, models' folder and plan of each training, which is not made."""
    calls: list[tuple[Path, Path, Plan]] = []
    monkeypatch.setattr(training, "train", lambda names, work, out, plan: calls.append((work, out, plan)))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return calls


def test_a_training_goes_on_in_its_usual_folders(asked: list[tuple[Path, Path, Plan]]) -> None:
    assert main(["train"]) == 0
    assert asked == [(Path(".training"), Path("models"), Plan())]


def test_a_try_out_leaves_the_usual_folders_alone_and_tells_where_it_went(
    asked: list[tuple[Path, Path, Plan]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "--fast"]) == 0
    ((work, out, plan),) = asked
    assert plan == FAST
    assert work.is_relative_to(tmp_path)
    assert out.is_relative_to(tmp_path)
    told = capsys.readouterr().out
    assert f"checkpoints in {work}, models in {out}" in told


def test_a_try_out_goes_where_it_is_told_to(asked: list[tuple[Path, Path, Plan]], tmp_path: Path) -> None:
    assert main(["train", "--fast", "--out", "there"]) == 0
    assert main(["train", "--fast", "--out", "there", "--work", "here"]) == 0
    assert asked[0][1:] == (Path("there"), FAST)
    assert asked[0][0].is_relative_to(tmp_path)
    assert asked[1] == (Path("here"), Path("there"), FAST)


def test_checkpoints_of_another_training_are_a_sentence_and_no_trace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise OtherTraining("they are of another plan")

    monkeypatch.setattr(training, "train", refuse)
    assert main(["train"]) == 2
    assert capsys.readouterr().err == "they are of another plan\n"
