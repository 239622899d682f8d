"""The recorded log: opt-in, of bounded size, and never in the way."""

from __future__ import annotations

import errno
from logging.handlers import RotatingFileHandler
from pathlib import Path

import pytest

from modelpool.errors import InvalidInput
from modelpool_api.behaviour.recording import Recorder
from modelpool_api.behaviour.sightings import Sighting, read_lines
from modelpool_api.policy import AdmissionPolicy, Record

SEEN = Sighting(5, "who", "words", "network")


def test_nothing_is_recorded_unless_asked_for() -> None:
    assert AdmissionPolicy().behaviour.record is None


def test_lines_are_appended_and_can_be_read_while_it_writes(tmp_path: Path) -> None:
    path = tmp_path / "sightings.jsonl"
    for _ in range(2):
        recorder = Recorder(Record(file=str(path)))
        recorder.record(SEEN)
        with path.open() as lines:
            last = list(read_lines(lines))[-1]
        recorder.close()
        assert last == SEEN
    assert len(path.read_text().splitlines()) == 2


def test_the_files_take_no_more_than_they_may(tmp_path: Path) -> None:
    recorder = Recorder(Record(file=str(tmp_path / "log"), megabytes=1))
    for number in range(25_000):
        recorder.record(Sighting(number, "who" * 5, "words" * 5, "network" * 5))
    recorder.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "log.1"]
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 1_000_000


def test_a_file_that_cannot_be_written_stops_the_start_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"behaviour\.record\.file .*absent/log cannot be written"):
        Recorder(Record(file=str(tmp_path / "absent" / "log")))


def test_a_full_disk_costs_lines_and_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> bool:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(RotatingFileHandler, "shouldRollover", full)
    recorder = Recorder(Record(file=str(tmp_path / "log")))
    for _ in range(3):
        recorder.record(SEEN)
    recorder.close()
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "No space left" in caplog.text
