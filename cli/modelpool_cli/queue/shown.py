"""How the queue commands show things: tables for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text


class Shown:
    """Where a command's answer goes."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.console = Console()

    def json(self, value: Any) -> None:
        """Print a document."""
        print(json.dumps(value, ensure_ascii=False, indent=2))

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str]], whole: Collection[str] = ("id",)) -> None:
        """Print a table. Cells are plain text: an error may hold square brackets.

        The columns in ``whole`` are never cut or folded: people copy what stands there.
        """
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for column in columns:
            table.add_column(column, no_wrap=column in whole, overflow="ignore" if column in whole else "fold")
        for row in rows:
            table.add_row(*map(Text, row))
        self.console.print(table)

    def say(self, sentence: str) -> None:
        """A line for people."""
        self.console.print(Text(sentence))

    def complain(self, sentence: str) -> None:
        """A line about what could not be done."""
        print(f"modelpool: {sentence}", file=sys.stderr)


def iso(milliseconds: int | None) -> str | None:
    """Unix milliseconds as the API writes times."""
    if milliseconds is None:
        return None
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def counted(number: int, what: str) -> str:
    """``1 job``, ``2 jobs``."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
