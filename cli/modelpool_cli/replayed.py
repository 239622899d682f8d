"""What `modelpool abuse replay` does: read logs, replay the rules, show what they would have refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TextIO

from modelpool.errors import InvalidInput
from modelpool_api.behaviour.replay import Refusals, Replayed, replay
from modelpool_api.behaviour.sightings import BrokenLine, Sighting, read_lines
from modelpool_api.policy import Behaviour
from modelpool_api.policy_file import read_policy
from modelpool_cli.queue.shown import Shown, counted, iso
from modelpool_local.exits import CommandFailed, Exit


@dataclass
class Read:
    """What logs hold, in the order of time."""

    sightings: list[Sighting] = field(default_factory=list)
    broken: int = 0


def read_rules(admission: str, changes: Mapping[str, int | Literal["off"]]) -> Behaviour:
    """The rules of an admission document, with other thresholds."""
    try:
        rules = read_policy(admission).behaviour
    except InvalidInput as error:
        raise CommandFailed(Exit.USAGE, f"--admission: {error.message}") from None
    return rules.model_copy(update={name: None if value == "off" else value for name, value in changes.items()})


def read_logs(logs: Iterable[str], standard_input: TextIO, *, skip_broken: bool) -> Read:
    """All lines of all logs; ``-`` is ``standard_input``.

    :raises CommandFailed: a file cannot be read, or a line, unless broken ones are to be skipped.
    """
    read = Read()
    for name in logs:
        try:
            if name == "-":
                _take(read, "standard input", standard_input, skip_broken)
            else:
                with Path(name).open(encoding="utf-8", errors="replace") as lines:
                    _take(read, name, lines, skip_broken)
        except OSError as error:
            raise CommandFailed(Exit.USAGE, f"{name} cannot be read: {error.strerror}") from None
    read.sightings.sort(key=lambda sighting: sighting.at)
    return read


def _take(read: Read, name: str, lines: Iterable[str], skip_broken: bool) -> None:
    for found in read_lines(lines):
        if isinstance(found, Sighting):
            read.sightings.append(found)
        elif skip_broken:
            read.broken += 1
        else:
            raise CommandFailed(Exit.FAILED, _explained(name, found))


def _explained(name: str, broken: BrokenLine) -> str:
    return f"{name}: {broken.message}; --skip-broken passes over such lines"


def show(read: Read, rules: Behaviour, samples: int, shown: Shown) -> None:
    """Replay, and print."""
    found = replay(read.sightings, rules, samples)
    if shown.as_json:
        shown.json(_json(found, read))
        return
    span = f", {iso(found.first)} to {iso(found.last)}" if found.requests else ""
    shown.say(f"{counted(found.requests, 'request')} of {counted(len(found.subjects), 'subject')}{span}")
    if read.broken:
        shown.say(f"{counted(read.broken, 'broken line')} passed over")
    rows = [_row(pattern.value, refusals, found) for pattern, refusals in found.rules.items()]
    shown.table(
        ("rule", "usual", "refused", "share", "subjects", "share"), [*rows, _row("any", found.all_rules, found)]
    )
    hits = [(pattern.value, sample) for pattern, refusals in found.rules.items() for sample in refusals.samples]
    if hits:
        lines = [(rule, iso(sample.at) or "", sample.who, f"{sample.seen:,}") for rule, sample in hits]
        shown.table(("first refused", "at", "subject", "seen"), lines, whole=("at", "subject"))


def _row(name: str, refusals: Refusals, found: Replayed) -> tuple[str, ...]:
    usual = "" if name == "any" else "off" if refusals.limit is None else f"{refusals.limit:,}"
    subjects = len(refusals.subjects)
    return (
        name,
        usual,
        f"{refusals.requests:,}",
        f"{_share(refusals.requests, found.requests):.2%}",
        f"{subjects:,}",
        f"{_share(subjects, len(found.subjects)):.2%}",
    )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _json(found: Replayed, read: Read) -> dict[str, Any]:
    return {
        "requests": found.requests,
        "subjects": len(found.subjects),
        "broken": read.broken,
        "first": iso(found.first),
        "last": iso(found.last),
        "rules": {pattern.value: _refusals(refusals, found) for pattern, refusals in found.rules.items()},
        "any": _refusals(found.all_rules, found),
    }


def _refusals(refusals: Refusals, found: Replayed) -> dict[str, Any]:
    return {
        "usual": refusals.limit,
        "requests": refusals.requests,
        "requestShare": _share(refusals.requests, found.requests),
        "subjects": len(refusals.subjects),
        "subjectShare": _share(len(refusals.subjects), len(found.subjects)),
        "samples": [{"at": iso(one.at), "subject": one.who, "seen": one.seen} for one in refusals.samples],
    }
