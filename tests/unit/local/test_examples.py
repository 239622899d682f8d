"""The example pools are what their comments say."""

from pathlib import Path

import pytest

from modelpool.resources.load import load_pool
from modelpool.resources.spec import Policy
from modelpool_local.memory import estimate

EXAMPLES = Path(__file__).parents[3] / "examples"
STUDIO = load_pool(EXAMPLES / "studio.yaml").spec


def test_the_studio_has_the_tiers_of_the_article() -> None:
    assert [(tier.name, tier.policy, tier.slots) for tier in STUDIO.tiers] == [
        ("primary", Policy.ALWAYS, 4),
        ("secondary", Policy.ROTATE, 2),
        ("video", Policy.ON_DEMAND, 1),
    ]


def test_a_secondary_slot_holds_one_model_and_not_two() -> None:
    tier = next(tier for tier in STUDIO.tiers if tier.name == "secondary")
    assert len(tier.models) > tier.slots
    vram = STUDIO.tier_vram(tier)
    smallest = sorted(model.weights_bytes for model in tier.models)[:2]
    activations = min(model.activations_bytes for model in tier.models)
    assert sum(smallest) + activations > vram
    assert all(model.weights_bytes + model.activations_bytes <= vram for model in tier.models)


def test_all_models_of_a_tier_stay_warm_in_a_slot() -> None:
    for tier in STUDIO.tiers:
        assert sum(model.weights_bytes for model in tier.models) <= STUDIO.tier_host_memory(tier)


def test_defaults_are_within_limits() -> None:
    for tier in STUDIO.tiers:
        for model in tier.models:
            assert model.defaults.width * model.defaults.height <= model.limits.max_pixels
            assert model.defaults.steps <= model.limits.max_steps
            assert model.defaults.frames <= model.limits.max_frames


@pytest.mark.parametrize("name", ["studio", "small"])
def test_an_example_runs_on_a_cpu_within_eight_gibibytes(name: str) -> None:
    spec = load_pool(EXAMPLES / f"{name}.yaml").spec
    assert spec.worker.device == "cpu"
    assert estimate(spec).total < 8 * 2**30
