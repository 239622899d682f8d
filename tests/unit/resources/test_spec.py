"""The spec reads what design documents show, fills in defaults and refuses what one field alone gets wrong."""

from copy import deepcopy
from typing import Any

import pytest
from pydantic import ValidationError

from modelpool.resources.spec import ModelPool, ModelPoolSpec, Policy, Task

FULL: dict[str, Any] = {
    "default": True,
    "targetSeconds": 10,
    "gpu": {
        "mode": "ResourceClaim",
        "claim": {"deviceClassName": "gpu.nvidia.com", "selectors": ["device.driver == 'gpu.nvidia.com'"]},
        "vram": "24Gi",
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "runtimeClassName": "nvidia",
        "nodeLostSeconds": 60,
    },
    "hostMemory": "64Gi",
    "workerOverhead": "6Gi",
    "modelVolume": {"persistentVolumeClaim": {"claimName": "models"}},
    "tiers": [
        {
            "name": "primary",
            "policy": "Always",
            "slots": 4,
            "models": [
                {
                    "name": "flux-schnell",
                    "tasks": ["TextToImage"],
                    "source": {"uri": "file:///models/flux-schnell"},
                    "weights": "12Gi",
                    "activations": "4Gi",
                    "defaults": {"width": 1024, "height": 1024, "steps": 4, "guidance": 0},
                    "limits": {"maxPixels": 1572864, "maxSteps": 50, "sizeMultiple": 16},
                    "batch": {"max": 8, "lingerMilliseconds": 0},
                    "quotaUnits": 1,
                    "secondsPerMegapixelStep": 0.15,
                    "styles": [{"name": "anime", "prompt": "{prompt}, anime", "negative": "photo"}],
                }
            ],
        },
        {
            "name": "video",
            "policy": "OnDemand",
            "slots": 1,
            "idleSeconds": 600,
            "lend": True,
            "gpu": {"vram": "48Gi"},
            "models": [
                {
                    "name": "svd",
                    "tasks": ["ImageToVideo"],
                    "source": {"uri": "s3://bucket/svd.tar", "sha256": "0" * 64},
                    "weights": "9Gi",
                    "activations": "20Gi",
                    "quotaUnits": 5,
                }
            ],
        },
    ],
    "rebalance": {"intervalSeconds": 15, "hysteresis": 3, "dryRun": False},
    "worker": {"image": "registry/worker:1", "device": "cuda", "podTemplate": {"spec": {"priorityClassName": "gpu"}}},
    "cost": {"gpuHourUSD": "0.25", "cloudPerGenerationUSD": "0.03"},
}
MINIMAL: dict[str, Any] = {
    "gpu": {"vram": "24Gi"},
    "tiers": [
        {
            "name": "primary",
            "policy": "Always",
            "slots": 1,
            "models": [
                {"name": "m", "source": {"uri": "file:///models/m"}, "weights": "1Gi", "activations": "1Gi"},
            ],
        }
    ],
}


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
