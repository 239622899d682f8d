"""What several fields together get wrong is found, named in the user's spelling, and comes with the cure."""

from collections.abc import Callable
from typing import Any

import pytest

from modelpool.errors import InvalidSpec
from modelpool.resources.checks import check, require_valid
from modelpool.resources.spec import ModelPoolSpec

Edit = Callable[[dict[str, Any]], None]


def a_model(name: str = "m", **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "source": {"uri": f"file:///models/{name}"},
        "weights": "10Gi",
        "activations": "2Gi",
        **more,
    }


def a_pool() -> dict[str, Any]:
    return {
        "gpu": {"vram": "24Gi"},
        "tiers": [
            {"name": "primary", "policy": "Always", "slots": 1, "models": [a_model("a")]},
            {"name": "secondary", "policy": "Rotate", "slots": 1, "models": [a_model("b"), a_model("c")]},
        ],
    }


def found(edit: Edit) -> list[str]:
    pool = a_pool()
    edit(pool)
    return [str(finding) for finding in check(ModelPoolSpec.model_validate(pool))]


def test_a_pool_that_can_work_has_no_findings() -> None:
    assert found(lambda pool: None) == []


CASES: list[tuple[Edit, str, str]] = [
    (
        lambda p: p["tiers"][1].update(name="primary"),
        "spec.tiers[1].name",
        "give each tier its own name",
    ),
    (
        lambda p: p["tiers"][1]["models"].append(a_model("a")),
        "spec.tiers[1].models[2].name",
        "a model belongs to one tier only",
    ),
    (
        lambda p: p["tiers"][1]["models"][0].update(weights="23Gi"),
        "spec.tiers[1].models[0].weights",
        "needs 25Gi (weights and activations) but a slot of tier 'secondary' has 24Gi",
    ),
    (
        lambda p: p["tiers"][0]["models"].extend([a_model("d"), a_model("e")]),
        "spec.tiers[0].models",
        "need 32Gi together but a slot has 24Gi; move a model to a Rotate tier",
    ),
    (lambda p: p["tiers"][0].update(lend=True), "spec.tiers[0].lend", "only an OnDemand tier can lend"),
    (lambda p: p["gpu"].update(mode="ResourceClaim"), "spec.gpu.claim", "add gpu.claim.deviceClassName"),
    (lambda p: p["gpu"].update(claim={}), "spec.gpu.claim", "set mode: ResourceClaim"),
    (
        lambda p: p.update(modelVolume={"image": {"reference": "x"}, "persistentVolumeClaim": {"claimName": "y"}}),
        "spec.modelVolume",
        "not both",
    ),
    (
        lambda p: p["tiers"][0]["models"][0].update(source={"uri": "s3://bucket/a"}),
        "spec.tiers[0].models[0].source.sha256",
        "needs the archive's sha256",
    ),
    (
        lambda p: p["tiers"][0]["models"][0].update(defaults={"steps": 60}),
        "spec.tiers[0].models[0].defaults.steps",
        "60 is more than limits.maxSteps 50",
    ),
    (
        lambda p: p["tiers"][0]["models"][0].update(defaults={"width": 2048}),
        "spec.tiers[0].models[0].defaults",
        "2048×1024 is more than limits.maxPixels 1572864; raise the limit",
    ),
    (
        lambda p: p["tiers"][0]["models"][0].update(defaults={"width": 1001}),
        "spec.tiers[0].models[0].defaults.width",
        "1001 is no multiple of limits.sizeMultiple 8",
    ),
    (
        lambda p: p["tiers"][0]["models"][0].update(defaults={"frames": 8}, limits={"maxFrames": 8}),
        "spec.tiers[0].models[0].defaults.frames",
        "an image has 1 frame",
    ),
    (
        lambda p: p["tiers"][0]["models"][0].update(tasks=["ImageToVideo"]),
        "spec.tiers[0].models[0].defaults.frames",
        "a video needs at least 2 frames",
    ),
    (
        lambda p: p["tiers"][0]["models"][0].update(defaults={"frames": 8}, tasks=["ImageToVideo"]),
        "spec.tiers[0].models[0].defaults.frames",
        "8 is more than limits.maxFrames 1",
    ),
    (
        lambda p: p["tiers"][0]["models"][0].update(tasks=["TextToImage", "ImageToVideo"]),
        "spec.tiers[0].models[0].tasks",
        "list it as two models",
    ),
    (
        lambda p: p["tiers"][0]["models"][0].update(tasks=["TextToImage", "TextToImage"]),
        "spec.tiers[0].models[0].tasks",
        "a task is listed twice",
    ),
    (
        lambda p: p["tiers"][0]["models"][0].update(styles=[{"name": "x", "prompt": "no place"}]),
        "spec.tiers[0].models[0].styles[0].prompt",
        "write {prompt} once",
    ),
    (
        lambda p: p["tiers"][0]["models"][0].update(styles=[{"name": "x", "prompt": "{prompt}"}] * 2),
        "spec.tiers[0].models[0].styles[1].name",
        "a second style is called 'x'",
    ),
]


@pytest.mark.parametrize(("edit", "field", "words"), CASES)
def test_a_finding_names_the_field_and_the_cure(edit: Edit, field: str, words: str) -> None:
    findings = found(edit)
    assert any(line.startswith(f"{field}: ") and words in line for line in findings), findings


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
