"""Where the supervisor speaks: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.text import Text

from modelpool_local.table import View, render, summary

PLAIN_EVERY_SECONDS = 10.0


class Screen:
    """Use as a context manager. ``say`` prints a line of news, ``show`` brings the table up to date."""

    def __init__(self, console: Console, *, live: bool) -> None:
        self._console = console
        # No thread of its own: the supervisor redraws, and nothing prints while it forks.
        self._live = Live(console=console, auto_refresh=False, transient=True) if live else None
        self._last_line = ""
        self._last_time = 0.0

    def __enter__(self) -> Screen:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def say(self, line: str) -> None:
        """Print one line with the time."""
        self._console.print(Text(f"{time.strftime('%H:%M:%S')} {line}"), soft_wrap=True)

    def show(self, view: View) -> None:
        """Redraw the table; without a terminal, print a summary when it changed, but not all the time."""
        if self._live is not None:
            self._live.update(render(view), refresh=True)
            return
        line = summary(view)
        now = time.monotonic()
        if line != self._last_line and now - self._last_time >= PLAIN_EVERY_SECONDS:
            self._last_line, self._last_time = line, now
            self.say(line)
