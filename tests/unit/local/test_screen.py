import io
from pathlib import Path

from rich.console import Console

from modelpool.documents import Heartbeat
from modelpool.resources.catalog import catalog_of
from modelpool.resources.load import load_pool
from modelpool_local.screen import Screen
from modelpool_local.table import View

SMALL = catalog_of(load_pool(Path(__file__).parents[3] / "examples" / "small.yaml"))
EMPTY = View(SMALL, now=0)
ALIVE = View(SMALL, now=0, heartbeats={"small-only-0": Heartbeat(slot="small-only-0", worker="w", pid=1)})


def test_without_a_terminal_a_summary_is_printed_when_it_changed_but_not_all_the_time() -> None:
    out = io.StringIO()
    with Screen(Console(file=out, width=60), live=False) as screen:
        screen.show(EMPTY)
        screen.show(EMPTY)
        screen.show(ALIVE)  # news, but too soon
    assert len(out.getvalue().splitlines()) == 1
    assert "0 of 1 slots alive" in out.getvalue()


def test_news_is_one_line_however_long_and_taken_literally() -> None:
    out = io.StringIO()
    with Screen(Console(file=out, width=40), live=False) as screen:
        screen.say("x" * 100 + " [bold]")
    (line,) = out.getvalue().splitlines()
    assert line.endswith("x [bold]")


def test_on_a_terminal_the_table_is_shown() -> None:
    out = io.StringIO()
    with Screen(Console(file=out, width=120, force_terminal=True), live=True) as screen:
        screen.show(EMPTY)
        screen.say("news")
    assert "waiting for the operator" in out.getvalue()
    assert "news" in out.getvalue()
