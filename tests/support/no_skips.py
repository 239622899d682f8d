"""A pytest plugin: under --no-skips a green run is red when it skipped a test, a whole file or a tier. CI runs so."""

import pytest

# Tests that may skip all the same: the beginning of their id, and why.
MAY_SKIP: dict[str, str] = {}


class NoSkips:
    """Turns a green run red when it skipped what MAY_SKIP does not name, or when nothing of a tier ran."""

    def __init__(self, tiers: list[str]) -> None:
        self._idle_tiers = set(tiers)
        self._skipped: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note what ran and what did not; an expected failure is reported as skipped too, and is none."""
        if report.skipped and not hasattr(report, "wasxfail"):
            self._note(report.nodeid)
        elif report.when == "call":
            self._idle_tiers -= {tier for tier in self._idle_tiers if report.nodeid.startswith(f"{tier}/")}

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a file that skipped itself."""
        if report.skipped:
            self._note(report.nodeid)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail the run."""
        if self._complaints() and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say why."""
        for complaint in self._complaints():
            terminalreporter.write_line(f"--no-skips: {complaint}", red=True)

    def _note(self, nodeid: str) -> None:
        if not nodeid.startswith(tuple(MAY_SKIP)):
            self._skipped.append(nodeid)

    def _complaints(self) -> list[str]:
        return [f"{nodeid} was skipped" for nodeid in self._skipped] + [
            f"no test of {tier} ran" for tier in sorted(self._idle_tiers)
        ]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --no-skips."""
    parser.addoption("--no-skips", action="store_true", help="fail when a test is skipped that MAY_SKIP does not name")


def pytest_configure(config: pytest.Config) -> None:
    """Enforce --no-skips; a run of chosen tests owes nothing to the other tiers.

    Of several processes the one that gives out the tests hears of all, and decides.
    """
    if config.getoption("--no-skips") and not hasattr(config, "workerinput"):
        everything = config.args_source is pytest.Config.ArgsSource.TESTPATHS
        config.pluginmanager.register(NoSkips(config.getini("testpaths") if everything else []), "no-skips")
