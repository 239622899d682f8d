"""Lines that say what happens, each with the seconds since the start."""

import time
from collections.abc import Callable

import click

Report = Callable[[str], None]
"""Takes one line about what has just been done, or is about to be."""


def timed_report() -> Report:
    """A report that prints each line to standard error behind the seconds since this call."""
    started = time.monotonic()

    def report(line: str) -> None:
        click.echo(f"{time.monotonic() - started:7.1f} s  {line}", err=True)

    return report


def silent(line: str) -> None:
    """A report for those who do not want one."""
