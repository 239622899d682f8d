"""What several fields together can get wrong, in CEL: the API server refuses it when the resource is applied.

Each rule stands for a check of :mod:`modelpool.resources.checks` and says the same sentence, less names and numbers where
building them in would cost more than the API server allows: it multiplies a rule's cost by how often it may have to run
(8 tiers × 32 models), filter() costs the square of that, and a number as text counts as a text without end.

Comparing names with sets.intersects() keeps the largest pool under a second, where nested loops take seven times as long.
What CEL cannot say is left to the operator, which makes such a pool Degraded and says why: whether podTemplate, resources
and tolerations make a pod that the API server takes, and whether the files of a model are there and are what they should be.

The functions used are those of Kubernetes 1.30. Memory that several fields make up is compared as a float, exact to 2^53 bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rule:
    """One of x-kubernetes-validations. ``field`` is where the mistake is, as a path from the object with the rule."""

    rule: str
    message: str = ""
    field: str = ""
    expression: str = ""
    """CEL that builds the message, where ``message`` alone would not say which."""

    def document(self) -> dict[str, str]:
        """As Kubernetes writes it."""
        parts = {
            "rule": self.rule,
            "message": self.message,
            "messageExpression": self.expression,
            "fieldPath": self.field,
        }
        return {name: text for name, text in parts.items() if text}


_IN_TWO_TIERS = "!self.tiers.exists_one(u, u.models.exists(n, n.name == m.name))"
_TOO_LARGE = (
    "a model needs more (weights and activations) than its slot has; raise gpu.vram or lower batch.max and activations"
)
_TOO_LARGE_TOGETHER = (
    "the models of an Always tier need more together than a slot has; move a model to a Rotate tier or raise gpu.vram"
)


def _bytes(quantity: str) -> str:
    """0 for what is no quantity, which has a message of its own."""
    return f"(isQuantity({quantity}) ? quantity({quantity}).asApproximateFloat() : 0.0)"


def _larger(vram: str) -> str:
    """Whether model ``m`` is too large for a slot."""
    return f"{_bytes('m.weights')} + {_bytes('m.activations')} > {_bytes(vram)}"


def _larger_together(tier: str, vram: str) -> str:
    """Whether the models of an Always tier are: Σ weights + the largest activations."""
    weights = f"{tier}.models.map(m, {_bytes('m.weights')}).sum()"
    activations = f"{tier}.models.map(m, {_bytes('m.activations')}).max()"
    return f"{tier}.policy == 'Always' && {tier}.models.size() > 1 && {weights} + {activations} > {_bytes(vram)}"


def _say_larger(tier: str, vram: str) -> str:
    """The sentence about the first model of ``tier`` that is too large."""
    sentence = (
        "\"'\" + m.name + \"' needs \" + m.weights + ' + ' + m.activations + "
        f'" (weights and activations) but a slot of tier \'" + {tier}.name + "\' has " + {vram} + '
        '"; raise the tier\'s gpu.vram or lower batch.max and activations"'
    )
    return f"{tier}.models.map(m, {_larger(vram)}, {sentence})[0]"


def _say_larger_together(tier: str, vram: str) -> str:
    return (
        f'"the models of Always tier \'" + {tier}.name + "\' need more together than the " + {vram} + '
        '" of a slot; move a model to a Rotate tier or raise gpu.vram"'
    )


_POOLS = "!has(t.gpu.vram)"
"""Tier ``t`` takes the pool's vram."""

RULES: Mapping[str, tuple[Rule, ...]] = {
    "ModelPoolSpec": (
        Rule(
            "self.tiers.all(t, self.tiers.all(u, t.name == u.name || !sets.intersects(t.models.map(m, m.name), u.models.map(m, m.name))))",
            "a model is in two tiers; a model belongs to one tier only",
            ".tiers",
            f"self.tiers.map(t, t.models.exists(m, {_IN_TWO_TIERS}), t.models.map(m, {_IN_TWO_TIERS}, "
            '"model \'" + m.name + "\' is in two tiers; a model belongs to one tier only")[0])[0]',
        ),
        Rule(
            f"!self.tiers.exists(t, {_POOLS} && t.models.exists(m, {_larger('self.gpu.vram')}))",
            _TOO_LARGE,
            ".tiers",
            f"self.tiers.map(t, {_POOLS} && t.models.exists(m, {_larger('self.gpu.vram')}), "
            f"{_say_larger('t', 'self.gpu.vram')})[0]",
        ),
        Rule(
            f"!self.tiers.exists(t, {_POOLS} && {_larger_together('t', 'self.gpu.vram')})",
            _TOO_LARGE_TOGETHER,
            ".tiers",
            f"self.tiers.map(t, {_POOLS} && {_larger_together('t', 'self.gpu.vram')}, "
            f"{_say_larger_together('t', 'self.gpu.vram')})[0]",
        ),
    ),
    "Gpu": (
        Rule(
            "self.mode != 'ResourceClaim' || has(self.claim)",
            "mode ResourceClaim needs a claim; add gpu.claim.deviceClassName",
            ".claim",
        ),
        Rule(
            "self.mode != 'DevicePlugin' || !has(self.claim)",
            "mode DevicePlugin ignores a claim; remove it or set mode: ResourceClaim",
            ".claim",
        ),
    ),
    "ModelVolume": (
        Rule(
            "!has(self.persistentVolumeClaim) || !has(self.image)",
            "set persistentVolumeClaim or image, not both",
        ),
    ),
    "Tier": (
        Rule(
            "!self.lend || self.policy == 'OnDemand'",
            "only an OnDemand tier can lend",
            ".lend",
            '"only an OnDemand tier can lend; \'" + self.name + "\' is " + self.policy',
        ),
        Rule(
            f"!has(self.gpu.vram) || !self.models.exists(m, {_larger('self.gpu.vram')})",
            _TOO_LARGE,
            ".models",
            _say_larger("self", "self.gpu.vram"),
        ),
        Rule(
            f"!has(self.gpu.vram) || !({_larger_together('self', 'self.gpu.vram')})",
            _TOO_LARGE_TOGETHER,
            ".models",
            _say_larger_together("self", "self.gpu.vram"),
        ),
    ),
    "Model": (
        Rule(
            "!self.source.uri.startsWith('s3://') || has(self.source.sha256)",
            "an s3:// source needs the archive's sha256",
            ".source.sha256",
            '"an s3:// source needs the archive\'s sha256 (\'" + self.name + "\')"',
        ),
        Rule(
            "!(self.tasks.exists(t, t.endsWith('Video')) && self.tasks.exists(t, t.endsWith('Image')))",
            "image and video tasks are mixed; list it as two models",
            ".tasks",
            '"\'" + self.name + "\' mixes image and video tasks; list it as two models"',
        ),
        Rule("self.tasks.all(t, self.tasks.exists_one(u, u == t))", "a task is listed twice", ".tasks"),
        Rule(
            "self.defaults.frames > 1 || !self.tasks.exists(t, t.endsWith('Video'))",
            "a video needs at least 2 frames",
            ".defaults.frames",
        ),
        Rule(
            "self.defaults.frames == 1 || !self.tasks.all(t, t.endsWith('Image'))",
            "an image has 1 frame; did you mean tasks: [ImageToVideo]?",
            ".defaults.frames",
        ),
        Rule(
            "self.defaults.width * self.defaults.height <= self.limits.maxPixels",
            "width × height is more than limits.maxPixels; raise the limit",
            ".defaults",
        ),
        *(
            Rule(
                f"self.defaults.{side} % self.limits.sizeMultiple == 0",
                f"{side} is no multiple of limits.sizeMultiple",
                f".defaults.{side}",
            )
            for side in ("width", "height")
        ),
        *(
            Rule(
                f"self.defaults.{what} <= self.limits.{limit}",
                f"{what} is more than limits.{limit}",
                f".defaults.{what}",
            )
            for what, limit in (("steps", "maxSteps"), ("frames", "maxFrames"))
        ),
    ),
    "Style": (
        Rule(
            "self.prompt.split('{prompt}').size() == 2",
            "write {prompt} once, where the user's words shall stand",
            ".prompt",
        ),
    ),
}
"""By the class of :mod:`modelpool.resources` whose schema carries them."""
