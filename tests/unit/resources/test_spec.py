"""The spec reads what design documents show, fills in defaults and refuses what one field alone gets wrong."""

from copy import deepcopy
from typing import Any

import pytest
from pydantic import ValidationError

from modelpool.resources.models import Task
from modelpool.resources.spec import ModelPool, ModelPoolSpec, Policy
from support.pool_examples import FULL, MINIMAL


def test_every_field_of_the_design_is_read() -> None:
    spec = ModelPoolSpec.model_validate(FULL)
    assert spec.tiers[0].policy is Policy.ALWAYS
    assert spec.tiers[1].models[0].tasks == (Task.IMAGE_TO_VIDEO,)
    assert spec.tier_vram(spec.tiers[0]) == 24 * 2**30
    assert spec.tier_vram(spec.tiers[1]) == 48 * 2**30
    assert str(spec.cost.gpu_hour_usd) == "0.25"


def test_a_spec_written_out_reads_back_equal() -> None:
    spec = ModelPoolSpec.model_validate(FULL)
    assert ModelPoolSpec.model_validate(spec.model_dump(mode="json", by_alias=True, exclude_none=True)) == spec


def test_a_minimal_spec_gets_the_defaults_of_the_design() -> None:
    spec = ModelPoolSpec.model_validate(MINIMAL)
    assert spec.target_seconds == 10
    assert spec.host_memory == "64Gi"
    assert spec.gpu.resource_name == "nvidia.com/gpu"
    assert spec.gpu.runtime_class_name is None
    assert spec.rebalance.max_concurrent_loads == 2
    assert spec.tiers[0].models[0].batch.max == 1


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("gpu", "vram"), "24GB"),
        (("gpu", "vram"), "0"),
        (("tiers", 0, "slots"), 0),
        (("tiers", 0, "policy"), "Sometimes"),
        (("tiers", 0, "name"), "Primary"),
        (("tiers", 0, "models"), []),
        (("tiers", 0, "models", 0, "source", "uri"), "https://example.org/model"),
        (("tiers", 0, "models", 0, "weights"), "-1Gi"),
        (("tiers", 0, "models", 0, "quotaUnits"), 0),
        (("tiers",), []),
        (("cost",), {"gpuHourUSD": "-1"}),
        (("surprise",), 1),
    ],
)
def test_what_one_field_gets_wrong_is_refused(path: tuple[str | int, ...], value: object) -> None:
    spec: Any = deepcopy(MINIMAL)
    place = spec
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(ValidationError):
        ModelPoolSpec.model_validate(spec)


def test_a_resource_ignores_metadata_that_kubernetes_adds() -> None:
    pool = ModelPool.model_validate(
        {
            "apiVersion": "modelpool.dev/v1alpha1",
            "kind": "ModelPool",
            "metadata": {"name": "studio", "namespace": "art", "uid": "x", "managedFields": []},
            "spec": MINIMAL,
            "status": {"slots": 1},
        }
    )
    assert pool.metadata.name == "studio"
    assert pool.metadata.namespace == "art"
