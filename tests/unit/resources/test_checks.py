"""What several fields together get wrong is found, named in the user's spelling, and comes with the cure."""

from typing import Any

import pytest

from modelpool.errors import InvalidSpec
from modelpool.resources.checks import check, require_valid
from modelpool.resources.spec import ModelPoolSpec
from support.pool_examples import CONTRADICTIONS, Contradiction, Edit, a_pool


def found(edit: Edit) -> list[str]:
    pool = a_pool()
    edit(pool)
    return [str(finding) for finding in check(ModelPoolSpec.model_validate(pool))]


def test_a_pool_that_can_work_has_no_findings() -> None:
    assert found(lambda pool: None) == []


@pytest.mark.parametrize("wrong", CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_a_finding_names_the_field_and_the_cure(wrong: Contradiction) -> None:
    findings = found(wrong.edit)
    assert any(line.startswith(f"{wrong.field}: ") and wrong.words in line for line in findings), findings


def test_a_tier_with_larger_gpus_holds_larger_models() -> None:
    def edit(pool: dict[str, Any]) -> None:
        pool["tiers"][1]["models"][0]["weights"] = "40Gi"
        pool["tiers"][1]["gpu"] = {"vram": "48Gi"}

    assert found(edit) == []


def test_all_mistakes_are_told_at_once() -> None:
    pool = a_pool()
    pool["tiers"][0]["lend"] = True
    pool["gpu"]["claim"] = {}
    with pytest.raises(InvalidSpec, match=r"spec\.gpu\.claim: .*; spec\.tiers\[0\]\.lend: "):
        require_valid(ModelPoolSpec.model_validate(pool))
