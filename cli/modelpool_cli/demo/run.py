"""The demonstration from start to end: jobs in, files out, everything checked."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from modelpool_cli.demo.moves import read_moves
from modelpool_cli.demo.plan import plan
from modelpool_cli.demo.report import Check, checks_of, print_checks, print_jobs, print_swaps
from modelpool_cli.demo.sending import Done, Sender
from modelpool_cli.demo.service import Service
from modelpool_cli.demo.sheet import Cell, contact_sheet
from modelpool_cli.demo.verify import NotValid, read_picture, read_video
from modelpool_cli.demo.watermark import Watermark
from modelpool_local.exits import Exit

if TYPE_CHECKING:
    from PIL.Image import Image

SHEET = "contact-sheet.png"


def run_demo(out: Path, pool_file: Path, models: Path, console: Console, more: Sequence[str] = ()) -> int:
    """Everything. ``more`` are further options of `modelpool up`. Returns 0 only when every check holds.

    :raises CommandFailed: the service does not start.
    """
    begun = time.monotonic()
    _empty(out)
    work = Path(tempfile.mkdtemp(prefix="modelpool-demo-"))
    service = Service(pool_file, models, work / "state", more)
    try:
        with service, Watermark(service.pss_bytes) as memory:
            with console.status("starting") as status:
                service.wait_until_ready(status.update)
            ready = time.monotonic()
            console.print(f"ready after {ready - begun:.1f} s on {service.url}", highlight=False)
            done = _send(service, out, console)
            sent = time.monotonic()
    finally:
        if (work / "state" / "logs").is_dir():  # it may have refused to start
            shutil.copytree(work / "state" / "logs", out / "logs")
        shutil.rmtree(work, ignore_errors=True)
    problems = _make_sheet(done, out / SHEET)
    moves = read_moves(out / "logs" / "operator.log")
    checks = checks_of(done, problems, moves, memory.highest)
    checks.append(Check("everything stopped in order", service.exit_code == 0, f"exit code {service.exit_code}"))
    print_jobs(done, console)
    print_swaps(moves, console)
    print_checks(checks, console)
    console.print(
        f"{time.monotonic() - begun:.0f} s in all: {ready - begun:.0f} s to start, {sent - ready:.0f} s for "
        f"{len(done)} jobs. Pictures, video, {SHEET} and logs are in {out}/",
        highlight=False,
        soft_wrap=True,
    )
    return Exit.OK if all(check.holds for check in checks) else Exit.FAILED


def _send(service: Service, out: Path, console: Console) -> list[Done]:
    jobs = plan()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("jobs", total=len(jobs))
        return Sender(service.url, service.paid_key, out).send_all(jobs, lambda done: bar.advance(task))


def _make_sheet(done: Sequence[Done], path: Path) -> list[str]:
    """Read every file again and show it on one page; returns what is wrong with them."""
    cells: list[Cell] = []
    strips: list[tuple[str, list[Image]]] = []
    problems: list[str] = []
    for one in done:
        if one.file is None:
            continue
        size = (one.shown["result"]["width"], one.shown["result"]["height"])
        try:
            if one.job.moves:
                strips.append((f"{one.job.name}: {one.job.moves} in motion", read_video(one.file, size)))
            else:
                cells.append(Cell(read_picture(one.file, size), one.job.name, one.job.prompt))
        except NotValid as error:
            problems.append(str(error))
    contact_sheet(cells, strips, "modelpool: five models, seven slots, one command").save(path)
    return problems


def _empty(out: Path) -> None:
    """A folder without the files of an earlier demonstration; others in it stay."""
    out.mkdir(parents=True, exist_ok=True)
    for job in plan():
        (out / f"{job.name}{job.extension}").unlink(missing_ok=True)
    (out / SHEET).unlink(missing_ok=True)
    shutil.rmtree(out / "logs", ignore_errors=True)
