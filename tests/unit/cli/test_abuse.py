"""`modelpool abuse replay`: from a recorded log to what each rule would have refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from modelpool_api.behaviour.sightings import Sighting, to_line
from modelpool_cli.main import modelpool
from modelpool_local.exits import CommandFailed, Exit

START = 1_767_225_600_000


def requests(count: int, who: str, apart: int = 100) -> list[str]:
    """So many requests of one visitor, milliseconds apart."""
    return [to_line(Sighting(START + n * apart, who, f"{who} words {n}", "net")) for n in range(count)]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """One quick visitor among slow ones."""
    path = tmp_path / "sightings.jsonl"
    lines = requests(50, "quick") + [line for n in range(9) for line in requests(2, f"slow{n}", 60_000)]
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def run(*arguments: object, text: str | None = None) -> Result:
    return CliRunner().invoke(modelpool, ["abuse", "replay", *map(str, arguments)], input=text)


def test_a_table_says_what_each_rule_would_have_refused(log: Path) -> None:
    done = run(log)
    assert done.exit_code == 0, done.output
    lines = [line.split() for line in done.output.splitlines()]
    assert done.output.startswith("68 requests of 10 subjects, 2026-01-01T00:00:00.000Z to")
    assert ["rapid", "40", "10", "14.71%", "1", "10.00%"] in lines
    assert ["identical", "20", "0", "0.00%", "0", "0.00%"] in lines
    assert ["any", "10", "14.71%", "1", "10.00%"] in lines
    assert ["rapid", "2026-01-01T00:00:04.000Z", "quick", "41"] in lines


def test_other_thresholds_can_be_tried(log: Path) -> None:
    tighter = json.loads(run(log, "--rapid-per-minute", 5, "--json", "--samples", 0).output)
    assert (tighter["rules"]["rapid"]["usual"], tighter["rules"]["rapid"]["requests"]) == (5, 45)
    assert tighter["rules"]["rapid"]["samples"] == []
    off = json.loads(run(log, "--rapid-per-minute", "off", "--json").output)
    assert (off["rules"]["rapid"]["usual"], off["any"]["requests"]) == (None, 0)
    assert run(log, "--rapid-per-minute", "0").exit_code == Exit.USAGE


def test_the_rules_are_those_of_an_admission_document(log: Path, tmp_path: Path) -> None:
    document = tmp_path / "admission.yaml"
    document.write_text("behaviour: {rapidPerMinute: 49}")
    found = json.loads(run(log, "--admission", document, "--json").output)
    assert found["rules"]["rapid"]["requests"] == 1


def test_logs_of_several_replicas_are_put_in_order_by_time(log: Path) -> None:
    lines = log.read_text().splitlines(keepends=True)
    halves = [log.with_suffix(".a"), log.with_suffix(".b")]
    for n, path in enumerate(halves):
        path.write_text("".join(lines[n::2]))
    assert json.loads(run(*reversed(halves), "--json").output) == json.loads(run(log, "--json").output)


def test_standard_input_is_read_too(log: Path) -> None:
    assert run("-", text=log.read_text()).output == run(log).output


def test_an_empty_log_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert run(tmp_path / "empty").output.startswith("0 requests of 0 subjects\n")


def test_a_broken_line_stops_it_with_its_number_unless_it_may_be_skipped(log: Path) -> None:
    with log.open("a") as end:
        end.write('{"v":1,"at":17672')
    refused = run(log)
    assert isinstance(refused.exception, CommandFailed)
    assert refused.exception.code is Exit.FAILED
    assert refused.exception.message.startswith(f"{log}: line 69 is no JSON")
    assert "--skip-broken" in refused.exception.message
    skipped = run(log, "--skip-broken")
    assert "1 broken line passed over" in skipped.output


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["absent.jsonl"], "cannot be read"),
        (["/dev/null", "--admission", "absent.yaml"], "--admission: the admission file absent.yaml cannot be read"),
    ],
)
def test_what_cannot_be_read_is_one_clear_line(arguments: list[str], says: str) -> None:
    done = run(*arguments)
    assert isinstance(done.exception, CommandFailed)
    assert done.exception.code is Exit.USAGE
    assert says in done.exception.message


def test_a_log_of_something_else_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    other = tmp_path / "other.log"
    other.write_text("2026-01-01 INFO started\n" * 3)
    done = run(other, "--skip-broken")
    assert isinstance(done.exception, CommandFailed)
    assert "all 3 lines are broken" in done.exception.message
