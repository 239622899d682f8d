"""The demonstration, with the simulated engine in place of the models."""

from io import StringIO
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from modelpool_cli.demo.plan import plan
from modelpool_cli.demo.run import run_demo
from modelpool_local.exits import CommandFailed, Exit

STUDIO = Path(__file__).parents[3] / "examples" / "studio.yaml"
SMALL = STUDIO.with_name("small.yaml")


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_demonstration_makes_every_file_and_passes_its_own_checks(tmp_path: Path) -> None:
    shown = StringIO()
    code = run_demo(
        tmp_path / "out", STUDIO, tmp_path, Console(file=shown, width=120), ["--simulated=load=0.2,step=0.02"]
    )
    assert code == Exit.OK, shown.getvalue()
    assert "FAIL" not in shown.getvalue()
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {*(f"{job.name}{job.extension}" for job in plan()), "contact-sheet.png", "logs"}
    assert {"api.log", "operator.log", "redis.log"} <= {path.name for path in (tmp_path / "out" / "logs").iterdir()}
    with Image.open(tmp_path / "out" / "contact-sheet.png") as sheet:
        sheet.load()


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_pool_without_the_models_fails_the_demonstration(tmp_path: Path) -> None:
    shown = StringIO()
    code = run_demo(tmp_path / "out", SMALL, tmp_path, Console(file=shown, width=120), ["--simulated"])
    assert code == Exit.FAILED
    assert "FAIL every job succeeded" in shown.getvalue()


def test_a_service_that_cannot_start_ends_it_with_the_services_own_exit_code(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="shapes-flat does not exist") as caught:
        run_demo(tmp_path / "out", SMALL, tmp_path, Console(file=StringIO()))
    assert caught.value.code is Exit.MODEL_MISSING
