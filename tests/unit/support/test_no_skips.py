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
    result.stdout.fnmatch_lines(["SKIPPED, and may not be*::test_skips"])
    result.stdout.no_fnmatch_line("SKIPPED, and may not be*::test_fails_as_expected")
