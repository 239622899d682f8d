"""What several fields of a ModelPool together can get wrong.

Each check is one small function that yields :class:`Finding` values: the field in the user's own spelling, what is
wrong and the cure. :func:`check` runs them all, so that a user sees every mistake at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from modelpool.errors import InvalidSpec
from modelpool.resources.gpu import GpuMode
from modelpool.resources.models import Model, Task
from modelpool.resources.quantity import format_bytes
from modelpool.resources.spec import ModelPoolSpec, Policy


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that cannot work: ``field`` as a path from ``spec``, ``message`` one sentence with the cure."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


def check(spec: ModelPoolSpec) -> list[Finding]:
    """Every finding, in the order of the document; empty when the pool can work."""
    return [finding for run in CHECKS for finding in run(spec)]


def require_valid(spec: ModelPoolSpec) -> None:
    """Refuse a pool that cannot work.

    :raises InvalidSpec: naming every field at fault and the cure.
    """
    findings = check(spec)
    if findings:
        raise InvalidSpec("; ".join(str(finding) for finding in findings), param=findings[0].field)


def _models(spec: ModelPoolSpec) -> Iterator[tuple[str, int, Model]]:
    """Every model with its path and its tier's index."""
    for t, tier in enumerate(spec.tiers):
        for m, model in enumerate(tier.models):
            yield f"spec.tiers[{t}].models[{m}]", t, model


def tier_names_are_unique(spec: ModelPoolSpec) -> Iterator[Finding]:
    """Slots are named after their tier."""
    seen: set[str] = set()
    for t, tier in enumerate(spec.tiers):
        if tier.name in seen:
            yield Finding(
                f"spec.tiers[{t}].name", f"a second tier is called {tier.name!r}; give each tier its own name"
            )
        seen.add(tier.name)


def model_names_are_unique(spec: ModelPoolSpec) -> Iterator[Finding]:
    """A name that users send must mean one model."""
    seen: dict[str, str] = {}
    for path, t, model in _models(spec):
        tier = spec.tiers[t].name
        if model.name in seen:
            yield Finding(
                f"{path}.name",
                f"model {model.name!r} is already in tier {seen[model.name]!r}; a model belongs to one tier only",
            )
        seen.setdefault(model.name, tier)


def each_model_fits_its_slot(spec: ModelPoolSpec) -> Iterator[Finding]:
    """Weights and activations of one model within the VRAM of one slot."""
    for path, t, model in _models(spec):
        vram = spec.tier_vram(spec.tiers[t])
        needed = model.weights_bytes + model.activations_bytes
        if needed > vram:
            yield Finding(
                f"{path}.weights",
                f"{model.name!r} needs {format_bytes(needed)} (weights and activations) but a slot of tier "
                f"{spec.tiers[t].name!r} has {format_bytes(vram)}; raise the tier's gpu.vram or lower batch.max "
                "and activations",
            )


def always_tiers_fit_together(spec: ModelPoolSpec) -> Iterator[Finding]:
    """Σ weights + the largest activations of an Always tier within one slot, as every slot holds them all."""
    for t, tier in enumerate(spec.tiers):
        if tier.policy is not Policy.ALWAYS or len(tier.models) < 2:
            continue
        needed = sum(m.weights_bytes for m in tier.models) + max(m.activations_bytes for m in tier.models)
        vram = spec.tier_vram(tier)
        if needed > vram:
            yield Finding(
                f"spec.tiers[{t}].models",
                f"the models of Always tier {tier.name!r} need {format_bytes(needed)} together but a slot has "
                f"{format_bytes(vram)}; move a model to a Rotate tier or raise gpu.vram",
            )


def only_on_demand_tiers_lend(spec: ModelPoolSpec) -> Iterator[Finding]:
    """``lend`` means idle slots of an OnDemand tier."""
    for t, tier in enumerate(spec.tiers):
        if tier.lend and tier.policy is not Policy.ON_DEMAND:
            yield Finding(
                f"spec.tiers[{t}].lend", f"only an OnDemand tier can lend; {tier.name!r} is {tier.policy.value}"
            )


def claims_match_their_mode(spec: ModelPoolSpec) -> Iterator[Finding]:
    """``gpu.claim`` belongs to mode ResourceClaim and to no other."""
    if spec.gpu.mode is GpuMode.RESOURCE_CLAIM and spec.gpu.claim is None:
        yield Finding("spec.gpu.claim", "mode ResourceClaim needs a claim; add gpu.claim.deviceClassName")
    if spec.gpu.mode is GpuMode.DEVICE_PLUGIN and spec.gpu.claim is not None:
        yield Finding("spec.gpu.claim", "mode DevicePlugin ignores a claim; remove it or set mode: ResourceClaim")


def one_model_volume(spec: ModelPoolSpec) -> Iterator[Finding]:
    """A volume has one source."""
    volume = spec.model_volume
    if volume.persistent_volume_claim is not None and volume.image is not None:
        yield Finding("spec.modelVolume", "set persistentVolumeClaim or image, not both")


def remote_sources_are_pinned(spec: ModelPoolSpec) -> Iterator[Finding]:
    """What is fetched over a network is checked against a digest."""
    for path, _, model in _models(spec):
        if model.source.is_remote and model.source.sha256 is None:
            yield Finding(f"{path}.source.sha256", f"an s3:// source needs the archive's sha256 ({model.name!r})")


def defaults_are_within_limits(spec: ModelPoolSpec) -> Iterator[Finding]:
    """A job that says nothing must be a valid job."""
    for path, _, model in _models(spec):
        defaults, limits = model.defaults, model.limits
        if defaults.width * defaults.height > limits.max_pixels:
            yield Finding(
                f"{path}.defaults",
                f"{defaults.width}×{defaults.height} is more than limits.maxPixels {limits.max_pixels}; raise the limit",
            )
        for name, value in (("width", defaults.width), ("height", defaults.height)):
            if value % limits.size_multiple:
                yield Finding(
                    f"{path}.defaults.{name}", f"{value} is no multiple of limits.sizeMultiple {limits.size_multiple}"
                )
        if defaults.steps > limits.max_steps:
            yield Finding(f"{path}.defaults.steps", f"{defaults.steps} is more than limits.maxSteps {limits.max_steps}")
        if defaults.frames > limits.max_frames:
            yield Finding(
                f"{path}.defaults.frames", f"{defaults.frames} is more than limits.maxFrames {limits.max_frames}"
            )


def tasks_agree_about_time(spec: ModelPoolSpec) -> Iterator[Finding]:
    """A model makes pictures or videos; its frames say which."""
    for path, _, model in _models(spec):
        videos = {task.makes_video for task in model.tasks}
        if len(videos) > 1:
            yield Finding(f"{path}.tasks", f"{model.name!r} mixes image and video tasks; list it as two models")
        elif len(set(model.tasks)) != len(model.tasks):
            yield Finding(f"{path}.tasks", "a task is listed twice")
        elif videos == {True} and model.defaults.frames < 2:
            yield Finding(f"{path}.defaults.frames", "a video needs at least 2 frames")
        elif videos == {False} and model.defaults.frames > 1:
            yield Finding(
                f"{path}.defaults.frames", f"an image has 1 frame; did you mean tasks: [{Task.IMAGE_TO_VIDEO.value}]?"
            )


def styles_are_usable(spec: ModelPoolSpec) -> Iterator[Finding]:
    """Each style has a name of its own and a place for the user's words."""
    for path, _, model in _models(spec):
        names: set[str] = set()
        for s, style in enumerate(model.styles):
            if style.name in names:
                yield Finding(f"{path}.styles[{s}].name", f"a second style is called {style.name!r}")
            names.add(style.name)
            if style.prompt.count("{prompt}") != 1:
                yield Finding(f"{path}.styles[{s}].prompt", "write {prompt} once, where the user's words shall stand")


CHECKS: tuple[Callable[[ModelPoolSpec], Iterator[Finding]], ...] = (
    claims_match_their_mode,
    one_model_volume,
    tier_names_are_unique,
    model_names_are_unique,
    only_on_demand_tiers_lend,
    each_model_fits_its_slot,
    always_tiers_fit_together,
    remote_sources_are_pinned,
    tasks_agree_about_time,
    defaults_are_within_limits,
    styles_are_usable,
)
"""In the order in which their findings are shown."""
