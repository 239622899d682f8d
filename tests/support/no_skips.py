"""A pytest plugin: under --no-skips a green run is red when it skipped a test or a whole file. CI runs so."""

import pytest

# Tests that may skip all the same: the beginning of their id, and why.
MAY_SKIP: dict[str, str] = {}


class NoSkips:
    """Turns a green run red when it skipped a test or a whole file that MAY_SKIP does not name."""

    def __init__(self) -> None:
        self.skipped: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a skipped test; an expected failure is reported as skipped too, and is none."""
        if report.skipped and not hasattr(report, "wasxfail"):
            self._note(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a file that skipped itself."""
        if report.skipped:
            self._note(report.nodeid)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail the run."""
        if self.skipped and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say which."""
        for nodeid in self.skipped:
            terminalreporter.write_line(f"SKIPPED, and may not be under --no-skips: {nodeid}", red=True)

    def _note(self, nodeid: str) -> None:
        if not nodeid.startswith(tuple(MAY_SKIP)):
            self.skipped.append(nodeid)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --no-skips."""
    parser.addoption("--no-skips", action="store_true", help="fail when a test is skipped that MAY_SKIP does not name")


def pytest_configure(config: pytest.Config) -> None:
    """Enforce --no-skips."""
    if config.getoption("--no-skips"):
        config.pluginmanager.register(NoSkips(), "no-skips")
