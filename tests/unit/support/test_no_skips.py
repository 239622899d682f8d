from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

PLUGIN = Path(__file__).parents[2] / "support" / "no_skips.py"


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
    result = project.runpytest_subprocess("-p", "no:randomly")
    assert result.ret == pytest.ExitCode.OK


def test_a_skipped_test_fails_the_run_with_the_option(project: pytest.Pytester) -> None:
    result = project.runpytest_subprocess("--no-skips", "-p", "no:randomly")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["--no-skips: *::test_skips was skipped"])
    result.stdout.no_fnmatch_line("--no-skips: *::test_fails_as_expected*")


def test_a_tier_without_a_test_fails_the_run_with_the_option(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(PLUGIN.read_text())
    pytester.makeini("[pytest]\ntestpaths = unit integration")
    for tier in ("unit", "integration"):
        pytester.mkdir(tier)
    (pytester.path / "unit" / "test_one.py").write_text("def test_one():\n    pass\n")
    result = pytester.runpytest_subprocess("--no-skips")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["--no-skips: no test of integration ran"])
