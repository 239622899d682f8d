"""What the demonstration shows in the end: a table of jobs, and what was checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table

from modelpool.resources.quantity import format_bytes
from modelpool_cli.demo.moves import Move
from modelpool_cli.demo.sending import Done

MOST_MEMORY = 8 * 2**30
LANES = frozenset({"paid", "anonymous"})


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold, and what was found."""

    what: str
    holds: bool
    found: str


def checks_of(done: Sequence[Done], problems: Sequence[str], moves: Sequence[Move], pss: int) -> list[Check]:
    """Everything that decides the exit code. ``problems`` are files that are not valid, ``pss`` is the most. Pure."""
    models = sorted({one.job.model for one in done if one.file})
    repeats = [one for one in done if one.job.repeats]
    repeated_bytes = [_same_bytes(one, done) for one in repeats]
    lanes = sorted({one.shown["lane"] for one in done if one.file})
    failed = [f"{one.job.name}: {one.problem}" for one in done if one.problem]
    swaps = [move for move in moves if move.action == "unload"]
    loaded = [one for one in done if (one.shown.get("durations") or {}).get("loaded")]
    return [
        Check("every job succeeded", not failed, "; ".join(failed) or f"{len(done)} jobs, {len(models)} models"),
        Check("every file is valid", not problems and bool(models), "; ".join(problems) or f"{len(done)} files decode"),
        Check(
            "the repeated request came from the cache",
            bool(repeats) and all(one.shown.get("cached") for one in repeats) and all(repeated_bytes),
            ", ".join(f"{one.job.name} {'cached' if one.shown.get('cached') else 'made anew'}" for one in repeats),
        ),
        Check("both lanes were served", set(lanes) >= LANES, ", ".join(lanes)),
        Check(
            "models made room for others",
            bool(swaps),
            f"{len(swaps)} times; {len(loaded)} jobs waited for a load",
        ),
        Check("memory", 0 < pss < MOST_MEMORY, f"at most {format_bytes(pss)} PSS of all processes; 8Gi are allowed"),
    ]


def print_jobs(done: Sequence[Done], console: Console) -> None:
    """The table of jobs; times in seconds."""
    table = Table(title="jobs (seconds)", box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for name in ("job", "model", "lane"):
        table.add_column(name, no_wrap=True)
    for name in ("waited", "loaded", "ran", "batch"):
        table.add_column(name, justify="right")
    table.add_column("cached")
    for one in done:
        durations = {} if one.shown.get("cached") else one.shown.get("durations") or {}
        table.add_row(
            one.job.name,
            one.job.model,
            one.shown.get("lane", ""),
            *(_seconds(durations.get(name)) for name in ("waited", "loaded", "ran")),
            str(one.shown.get("batchSize") or ""),
            "yes" if one.shown.get("cached") else "",
        )
    console.print(table)


def print_swaps(moves: Sequence[Move], console: Console) -> None:
    """Which models made room, and the operator's reasons."""
    for move in moves:
        if move.action == "unload":
            console.print(f"{move.slot}: {move.why}", markup=False, highlight=False, soft_wrap=True)


def print_checks(checks: Sequence[Check], console: Console) -> None:
    """What was checked, one line each."""
    for check in checks:
        line = f"{'ok  ' if check.holds else 'FAIL'} {check.what}: {check.found}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _same_bytes(repeat: Done, done: Sequence[Done]) -> bool:
    first = next((one for one in done if one.job.name == repeat.job.repeats), None)
    if first is None or first.file is None or repeat.file is None:
        return False
    return first.file.read_bytes() == repeat.file.read_bytes()


def _seconds(milliseconds: int | None) -> str:
    return f"{milliseconds / 1000:.1f}" if milliseconds else ""
