from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

PLUGIN = Path(__file__).parents[2] / "support" / "no_skips.py"


@pytest.fixture(params=["-n0", "-n2"], ids=["alone", "two-processes"])
def processes(request: pytest.FixtureRequest) -> str:
    """The processes that run the tests."""
    option: str = request.param
    return option


@pytest.fixture(autouse=True)
def only_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plugins take most of the time that a small run takes."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_PLUGINS", "xdist.plugin")


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeconftest(PLUGIN.read_text())
    pytester.makepyfile(
        """
        import pytest

        def test_runs():
            pass

        def test_skips():
            pytest.skip("no mood")

        @pytest.mark.xfail
        def test_fails_as_expected():
            assert False
        """
    )
    return pytester


def test_a_skipped_test_passes_without_the_option(project: pytest.Pytester) -> None:
    result = project.runpytest_subprocess()
    assert result.ret == pytest.ExitCode.OK


def test_a_skipped_test_fails_the_run_with_the_option(project: pytest.Pytester, processes: str) -> None:
    result = project.runpytest_subprocess("--no-skips", processes)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["--no-skips: *::test_skips was skipped"])
    result.stdout.no_fnmatch_line("--no-skips: *::test_fails_as_expected*")
    assert result.stdout.str().count("--no-skips: ") == 1
    result.assert_outcomes(passed=1, skipped=1, xfailed=1)


def test_a_file_that_skips_itself_fails_the_run_with_the_option(pytester: pytest.Pytester, processes: str) -> None:
    pytester.makeconftest(PLUGIN.read_text())
    pytester.makepyfile(
        test_runs="def test_runs():\n    pass",
        test_skips="import pytest\npytest.skip('no mood', allow_module_level=True)",
    )
    result = pytester.runpytest_subprocess("--no-skips", processes)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["--no-skips: test_skips.py was skipped"])
    assert result.stdout.str().count("--no-skips: ") == 1


def test_a_tier_without_a_test_fails_the_run_with_the_option(pytester: pytest.Pytester, processes: str) -> None:
    pytester.makeconftest(PLUGIN.read_text())
    pytester.makeini("[pytest]\ntestpaths = unit integration")
    for tier in ("unit", "integration"):
        pytester.mkdir(tier)
    (pytester.path / "unit" / "test_one.py").write_text("def test_one():\n    pass\n")
    result = pytester.runpytest_subprocess("--no-skips", processes)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["--no-skips: no test of integration ran"])
    assert result.stdout.str().count("--no-skips: ") == 1
