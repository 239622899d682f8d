"""A pytest plugin for scenarios on a cluster: a budget of seconds for each, what they took, and why one failed.

A scenario that takes longer than its budget fails, and one that takes many times as long ends.
"""

import os
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager

import pytest

from cluster.layout import Layout
from cluster.logs import tails

SLOWNESS = "E2E_SLOWNESS"
# One that takes this many times its budget hangs.
PATIENCE = 3
LOGS_SHOWN = 3
"""Failures that come with the ends of the cluster's logs; what follows has mostly the same cause."""


class ScenarioReport:
    """Fed by pytest's hooks and by the fixtures of the scenarios."""

    def __init__(self) -> None:
        self.layout: Layout | None = None
        """Of the cluster whose logs tell more; None on a cluster of the user's own."""
        self._budgets: dict[str, float] = {}
        self._took: dict[str, float] = {}
        self._figures: dict[str, list[tuple[str, object]]] = {}
        self._prepared: dict[str, str] = {}
        self._describe: dict[str, Callable[[], str]] = {}
        self._failures = 0

    def describe(self, item: pytest.Item, describe: Callable[[], str]) -> None:
        """Take what tells of the scenario's objects, should it fail."""
        self._describe[item.nodeid] = describe

    @contextmanager
    def preparing(self, what: str) -> Iterator[None]:
        """Note how long it takes to get this ready for all scenarios."""
        started = time.monotonic()
        yield
        self.note(what, f"{time.monotonic() - started:.1f} s")

    def note(self, what: str, figure: str) -> None:
        """A figure of what all scenarios share."""
        self._prepared[what] = figure

    # --- pytest's hooks -------------------------------------------------------------------------------------------

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Those that share an installation come after those that want the cluster for themselves.

        Then the one that ends it, and the one that looks back at all of them.
        """
        slowness = float(os.environ.get(SLOWNESS) or 1)
        for item in items:
            marker = item.get_closest_marker("budget")
            if marker is not None:
                self._budgets[item.nodeid] = budget = marker.args[0] * slowness
                item.add_marker(pytest.mark.timeout(PATIENCE * budget, func_only=True))
        items.sort(key=_turn)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """A scenario that was too slow fails; one that fails says what Kubernetes says, and what its processes wrote."""
        report = yield
        budget = self._budgets.get(item.nodeid, float("inf"))
        if report.passed and call.when == "call" and call.duration > budget:
            report.outcome = "failed"
            report.longrepr = (
                f"took {call.duration:.1f} s and may take {budget:.0f} s on an idle machine; "
                f"{SLOWNESS}=2 allows twice as much"
            )
        if report.failed:
            self._explain(report)
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note how long the scenario itself took, without fixtures."""
        if report.when == "call":
            self._took[report.nodeid] = report.duration
            self._figures[report.nodeid] = report.user_properties

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """What was got ready, a line for each scenario with a budget, and the sum."""
        if self._prepared:
            terminalreporter.section("got ready for all scenarios")
            for what, figure in self._prepared.items():
                terminalreporter.line(f"{figure:>10}  {what}")
        rows = [(node, seconds, self._budgets[node]) for node, seconds in self._took.items() if node in self._budgets]
        if not rows:
            return
        terminalreporter.section("seconds of each scenario, and its budget")
        for node, seconds, budget in rows:
            late = "  OVER" if seconds > budget else ""
            terminalreporter.line(f"{seconds:7.1f} / {budget:4.0f} s  {node.rpartition('/')[2]}{late}")
            for name, found in self._figures[node]:
                terminalreporter.line(f"{'':15}{name}: {found}")
        total, allowed = sum(seconds for _, seconds, _ in rows), sum(budget for _, _, budget in rows)
        terminalreporter.line(f"{total:7.1f} / {allowed:4.0f} s  all scenarios, without what they share")

    def _explain(self, report: pytest.TestReport) -> None:
        self._failures += 1
        describe = self._describe.get(report.nodeid)
        if describe is not None and report.when != "teardown":
            report.sections.append(("what Kubernetes says", describe()))
        if self.layout is not None and self._failures <= LOGS_SHOWN:
            report.sections.append(("the ends of the cluster's logs", tails(self.layout)))


def _turn(item: pytest.Item) -> int:
    if item.get_closest_marker("in_the_end"):
        return 2
    return int("shared" in getattr(item, "fixturenames", ()))
