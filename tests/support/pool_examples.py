"""ModelPools that can work and others that cannot, each with what is said about it: by core, and by the API server."""

from collections.abc import Callable
from dataclasses import dataclass
from textwrap import dedent
from typing import Any

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
    """The spec of a pool of two tiers."""
    return {
        "gpu": {"vram": "24Gi"},
        "tiers": [
            {"name": "primary", "policy": "Always", "slots": 1, "models": [a_model("a")]},
            {"name": "secondary", "policy": "Rotate", "slots": 1, "models": [a_model("b"), a_model("c")]},
        ],
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
"""What must be said."""

FULL: dict[str, Any] = {
    "default": True,
    "targetSeconds": 10,
    "gpu": {
        "mode": "ResourceClaim",
        "claim": {"deviceClassName": "gpu.nvidia.com", "selectors": ["device.driver == 'gpu.nvidia.com'"]},
        "vram": "24Gi",
        "nodeSelector": {"nvidia.com/gpu.product": "NVIDIA-L4"},
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
                    "defaults": {"width": 1024, "height": 576, "frames": 14},
                    "limits": {"maxFrames": 25},
                    "quotaUnits": 5,
                }
            ],
        },
    ],
    "rebalance": {"intervalSeconds": 15, "hysteresis": 3, "dryRun": False},
    "worker": {"image": "registry/worker:1", "device": "cuda", "podTemplate": {"spec": {"priorityClassName": "gpu"}}},
    "cost": {"gpuHourUSD": "0.25", "cloudPerGenerationUSD": "0.03"},
}
"""Every part of the resource."""


@dataclass(frozen=True)
class Contradiction:
    """Fields that do not go together: ``edit`` of :func:`a_pool` makes it.

    ``field`` and ``words`` are core's; ``at`` and ``says`` the API server's where those differ.
    """

    edit: Edit
    field: str
    words: str
    at: str = ""
    says: str = ""


CONTRADICTIONS = {
    "two tiers of one name": Contradiction(
        lambda p: p["tiers"][1].update(name="primary"),
        "spec.tiers[1].name",
        "give each tier its own name",
        "spec.tiers[1]",
        'Duplicate value: {"name":"primary"}',
    ),
    "a model in two tiers": Contradiction(
        lambda p: p["tiers"][1]["models"].append(a_model("a")),
        "spec.tiers[1].models[2].name",
        "a model belongs to one tier only",
        "spec.tiers",
        "model 'a' is in two tiers; a model belongs to one tier only",
    ),
    "a model twice in a tier": Contradiction(
        lambda p: p["tiers"][1]["models"].append(a_model("b")),
        "spec.tiers[1].models[2].name",
        "a model belongs to one tier only",
        "spec.tiers[1].models[2]",
        'Duplicate value: {"name":"b"}',
    ),
    "a model larger than its slot": Contradiction(
        lambda p: p["tiers"][1]["models"][0].update(weights="23Gi"),
        "spec.tiers[1].models[0].weights",
        "needs 25Gi (weights and activations) but a slot of tier 'secondary' has 24Gi",
        "spec.tiers",
        "'b' needs 23Gi + 2Gi (weights and activations) but a slot of tier 'secondary' has 24Gi; "
        "raise the tier's gpu.vram or lower batch.max and activations",
    ),
    "a model larger than its tier's own slot": Contradiction(
        lambda p: p["tiers"][1].update(gpu={"vram": "11.5Gi"}),
        "spec.tiers[1].models[1].weights",
        "'c' needs 12Gi (weights and activations) but a slot of tier 'secondary' has 11.5Gi",
        "spec.tiers[1].models",
        "'b' needs 10Gi + 2Gi (weights and activations) but a slot of tier 'secondary' has 11.5Gi",
    ),
    "an Always tier larger than its slot": Contradiction(
        lambda p: p["tiers"][0]["models"].extend([a_model("d"), a_model("e")]),
        "spec.tiers[0].models",
        "need 32Gi together but a slot has 24Gi; move a model to a Rotate tier",
        "spec.tiers",
        "the models of Always tier 'primary' need more together than the 24Gi of a slot; move a model to a Rotate tier",
    ),
    "an Always tier larger than its own slot": Contradiction(
        lambda p: p["tiers"][0].update(gpu={"vram": "30Gi"}, models=[a_model("d"), a_model("e"), a_model("f")]),
        "spec.tiers[0].models",
        "need 32Gi together but a slot has 30Gi; move a model to a Rotate tier",
        "spec.tiers[0].models",
        "the models of Always tier 'primary' need more together than the 30Gi of a slot; move a model to a Rotate tier",
    ),
    "an Always tier that lends": Contradiction(
        lambda p: p["tiers"][0].update(lend=True),
        "spec.tiers[0].lend",
        "only an OnDemand tier can lend; 'primary' is Always",
    ),
    "a claim missing": Contradiction(
        lambda p: p["gpu"].update(mode="ResourceClaim"), "spec.gpu.claim", "add gpu.claim.deviceClassName"
    ),
    "a claim without its mode": Contradiction(
        lambda p: p["gpu"].update(claim={}), "spec.gpu.claim", "set mode: ResourceClaim"
    ),
    "two model volumes": Contradiction(
        lambda p: p.update(modelVolume={"image": {"reference": "x"}, "persistentVolumeClaim": {"claimName": "y"}}),
        "spec.modelVolume",
        "set persistentVolumeClaim or image, not both",
    ),
    "a remote source without digest": Contradiction(
        lambda p: p["tiers"][0]["models"][0].update(source={"uri": "s3://bucket/a"}),
        "spec.tiers[0].models[0].source.sha256",
        "an s3:// source needs the archive's sha256 ('a')",
    ),
    "more steps than allowed": Contradiction(
        lambda p: p["tiers"][0]["models"][0].update(defaults={"steps": 60}),
        "spec.tiers[0].models[0].defaults.steps",
        "60 is more than limits.maxSteps 50",
        says="steps is more than limits.maxSteps",
    ),
    "more pixels than allowed": Contradiction(
        lambda p: p["tiers"][0]["models"][0].update(defaults={"width": 2048}),
        "spec.tiers[0].models[0].defaults",
        "2048×1024 is more than limits.maxPixels 1572864; raise the limit",
        says="width × height is more than limits.maxPixels; raise the limit",
    ),
    "a width off the grid": Contradiction(
        lambda p: p["tiers"][0]["models"][0].update(defaults={"width": 1001}),
        "spec.tiers[0].models[0].defaults.width",
        "1001 is no multiple of limits.sizeMultiple 8",
        says="width is no multiple of limits.sizeMultiple",
    ),
    "a height off the grid": Contradiction(
        lambda p: p["tiers"][0]["models"][0].update(defaults={"height": 1020}, limits={"sizeMultiple": 64}),
        "spec.tiers[0].models[0].defaults.height",
        "1020 is no multiple of limits.sizeMultiple 64",
        says="height is no multiple of limits.sizeMultiple",
    ),
    "an image of many frames": Contradiction(
        lambda p: p["tiers"][0]["models"][0].update(defaults={"frames": 8}, limits={"maxFrames": 8}),
        "spec.tiers[0].models[0].defaults.frames",
        "an image has 1 frame; did you mean tasks: [ImageToVideo]?",
    ),
    "a video of one frame": Contradiction(
        lambda p: p["tiers"][0]["models"][0].update(tasks=["ImageToVideo"]),
        "spec.tiers[0].models[0].defaults.frames",
        "a video needs at least 2 frames",
    ),
    "more frames than allowed": Contradiction(
        lambda p: p["tiers"][0]["models"][0].update(defaults={"frames": 8}, tasks=["ImageToVideo"]),
        "spec.tiers[0].models[0].defaults.frames",
        "8 is more than limits.maxFrames 1",
        says="frames is more than limits.maxFrames",
    ),
    "images and videos": Contradiction(
        lambda p: p["tiers"][0]["models"][0].update(tasks=["TextToImage", "ImageToVideo"]),
        "spec.tiers[0].models[0].tasks",
        "'a' mixes image and video tasks; list it as two models",
    ),
    "a task twice": Contradiction(
        lambda p: p["tiers"][0]["models"][0].update(tasks=["TextToImage", "TextToImage"]),
        "spec.tiers[0].models[0].tasks",
        "a task is listed twice",
    ),
    "a style without prompt": Contradiction(
        lambda p: p["tiers"][0]["models"][0].update(styles=[{"name": "x", "prompt": "no place"}]),
        "spec.tiers[0].models[0].styles[0].prompt",
        "write {prompt} once, where the user's words shall stand",
    ),
    "a style with two prompts": Contradiction(
        lambda p: p["tiers"][0]["models"][0].update(styles=[{"name": "x", "prompt": "{prompt} {prompt}"}]),
        "spec.tiers[0].models[0].styles[0].prompt",
        "write {prompt} once, where the user's words shall stand",
    ),
    "two styles of one name": Contradiction(
        lambda p: p["tiers"][0]["models"][0].update(styles=[{"name": "x", "prompt": "{prompt}"}] * 2),
        "spec.tiers[0].models[0].styles[1].name",
        "a second style is called 'x'",
        "spec.tiers[0].models[0].styles[1]",
        'Duplicate value: {"name":"x"}',
    ),
}

TEXT = dedent("""\
    apiVersion: modelpool.dev/v1alpha1
    kind: ModelPool
    metadata:
      name: studio
      labels: {team: art}
    spec:
      gpu: {vram: 24Gi}
      tiers:
      - name: primary
        policy: Always
        slots: 4
        models:
        - name: flux-schnell
          source: {uri: "file:///models/flux-schnell"}
          weights: 12Gi
          activations: 4Gi
      - name: secondary
        policy: Rotate
        slots: 2
        models:
        - name: sd-1.5
          source: {uri: "file:///models/sd-1.5"}
          weights: 4Gi
          activations: 2Gi
    """)
"""A pool as people write it."""


@dataclass(frozen=True)
class Mistake:
    """One field of :data:`TEXT` gone wrong: ``old`` replaced by ``new``.

    ``field`` and ``cure`` are core's words; ``says`` what the API server says, the cure itself where that is empty.
    """

    old: str
    new: str
    field: str
    cure: str
    says: str = ""


MISTAKES = (
    Mistake("weights: 4Gi", "weights: 4GB", "spec.tiers[1].models[0].weights", "such as 24Gi or 512M"),
    Mistake(
        "weights: 4Gi",
        "weights: 4",
        "spec.tiers[1].models[0].weights",
        'put it in quotes, such as "4"',
        "must be of type string",
    ),
    Mistake("weights: 4Gi", "weights: 0Gi", "spec.tiers[1].models[0].weights", "must be more than 0, such as 24Gi"),
    Mistake("weights: 4Gi", 'weights: "-1Gi"', "spec.tiers[1].models[0].weights", "such as 24Gi or 512M"),
    Mistake("weights: 4Gi", "weights: 23Gi", "spec.tiers[1].models[0].weights", "raise the tier's gpu.vram"),
    Mistake(
        "weights: 4Gi\n      ", "", "spec.tiers[1].models[0].weights", "is required; add it", "weights: Required value"
    ),
    Mistake(
        "slots: 2",
        "slots: 0",
        "spec.tiers[1].slots",
        "must be at least 1; it is 0",
        "should be greater than or equal to 1",
    ),
    Mistake("slots: 2", "slots: two", "spec.tiers[1].slots", "must be a whole number", "must be of type integer"),
    Mistake(
        "slots: 2",
        "slots: 2000",
        "spec.tiers[1].slots",
        "must be at most 1000; it is 2000",
        "should be less than or equal to 1000",
    ),
    Mistake("slots: 2", "slot: 2", "spec.tiers[1].slot", "did you mean slots?", 'unknown field "spec.tiers[1].slot"'),
    Mistake(
        "slots: 2",
        "slots: 2\n    xyzzy: 1",
        "spec.tiers[1].xyzzy",
        "use one of name, policy, slots",
        'unknown field "spec.tiers[1].xyzzy"',
    ),
    Mistake(
        "gpu: {vram: 24Gi}",
        "gpu: {vram: 24Gi, nodeSelektor: {}}",
        "spec.gpu.nodeSelektor",
        "mean nodeSelector?",
        'unknown field "spec.gpu.nodeSelektor"',
    ),
    Mistake(
        "policy: Rotate",
        "policy: rotate",
        "spec.tiers[1].policy",
        "did you mean Rotate?",
        'supported values: "Always", "Rotate", "OnDemand"',
    ),
    Mistake(
        "policy: Rotate",
        "policy: LRU",
        "spec.tiers[1].policy",
        "use one of Always, Rotate, OnDemand",
        'supported values: "Always", "Rotate", "OnDemand"',
    ),
    Mistake("name: secondary", "name: Secondary", "spec.tiers[1].name", "use lower-case letters, digits and '-'"),
    Mistake(
        "name: secondary",
        f"name: {'s' * 30}",
        "spec.tiers[1].name",
        "may have at most 29 characters",
        "may not be more than 29 bytes",
    ),
    Mistake(
        "name: secondary",
        "name: primary",
        "spec.tiers[1].name",
        "give each tier its own name",
        "spec.tiers[1]: Duplicate",
    ),
    Mistake(
        "name: sd-1.5", "name: SD-1.5", "spec.tiers[1].models[0].name", "use lower-case letters, digits, '-' and '.'"
    ),
    Mistake("file:///models/sd-1.5", "models/sd-1.5", "spec.tiers[1].models[0].source.uri", "file:///models/NAME"),
    Mistake(
        'sd-1.5"}',
        'sd-1.5", sha256: abc}',
        "spec.tiers[1].models[0].source.sha256",
        "write the 64 hexadecimal digits of a SHA-256",
    ),
    Mistake(
        "gpu: {vram: 24Gi}",
        "gpu: 24Gi",
        "spec.gpu",
        "must be a mapping (key: value)",
        "must be of type object",
    ),
    Mistake(
        "gpu: {vram: 24Gi}",
        "gpu: {vram: 24Gi}\n  default: maybe",
        "spec.default",
        "must be true or false",
        "must be of type boolean",
    ),
    Mistake(
        "gpu: {vram: 24Gi}",
        "gpu: {vram: 24Gi}\n  cost: {gpuHourUSD: x}",
        "spec.cost.gpuHourUSD",
        'must be a number, such as "0.25"',
    ),
    Mistake(
        "gpu: {vram: 24Gi}",
        'gpu: {vram: 24Gi}\n  cost: {gpuHourUSD: "-1"}',
        "spec.cost.gpuHourUSD",
        'must be a number, such as "0.25"',
    ),
    Mistake(
        "gpu: {vram: 24Gi}",
        "gpu: {vram: 24Gi}\n  cost: {gpuHourUSD: 0.25}",
        "spec.cost.gpuHourUSD",
        'put it in quotes, such as "0.25"',
        "must be of type string",
    ),
    Mistake(
        "tiers:",
        "tiers: []\n  other:",
        "spec.tiers",
        "needs at least 1 entry; it has 0",
        'unknown field "spec.other"',
    ),
    Mistake("v1alpha1", "v1", "apiVersion", "did you mean modelpool.dev/v1alpha1?", 'in version "v1"'),
    Mistake("name: studio", "nome: studio", "metadata.name", "is required; add it", 'unknown field "metadata.nome"'),
    Mistake(
        "name: studio",
        f"name: {'s' * 30}",
        "metadata.name",
        "may have at most 29 characters",
    ),
    Mistake("name: studio", "name: st.udio", "metadata.name", "use lower-case letters, digits and '-'"),
)
"""What one field alone can get wrong."""
