from dataclasses import replace
from pathlib import Path

import pytest

from modelpool_training.plan import FAST, OtherTraining, Plan, claim_folder


def test_a_folder_of_checkpoints_is_of_one_plan(tmp_path: Path) -> None:
    work = tmp_path / "work"
    claim_folder(work, Plan())
    claim_folder(work, Plan())
    for other in (FAST, replace(Plan(), drawings=99)):
        with pytest.raises(OtherTraining, match="another plan; name another --work"):
            claim_folder(work, other)


def test_a_folder_that_names_no_plan_is_taken(tmp_path: Path) -> None:
    (tmp_path / "autoencoder.pt").touch()
    claim_folder(tmp_path, Plan())
    with pytest.raises(OtherTraining):
        claim_folder(tmp_path, FAST)
