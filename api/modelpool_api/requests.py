"""From what a client wrote and what a model offers to a complete job. Pure: the seed and the input come from outside."""

from __future__ import annotations

from typing import Any

from modelpool.documents import CatalogModel
from modelpool.errors import InvalidInput
from modelpool.jobs import JobRequest
from modelpool.resources.models import Task
from modelpool_api.schemas import JobBody

_IMAGE_FORMATS = ("png", "webp", "jpeg")
_LOSSY = ("webp", "jpeg")


def resolve(body: JobBody, model: CatalogModel, *, seed: int, has_image: bool) -> JobRequest:
    """The job that ``body`` asks of ``model``: defaults applied, style expanded, limits checked.

    The input's key is set later, when the image has been stored: first come the checks that cost nothing.

    :raises InvalidInput: naming the field and the cure.
    """
    task = infer_task(body, model, has_image=has_image)
    _require_applicable(body, task)
    prompt, negative = expand_style(body, model)
    if not prompt and not task.wants_image:
        raise InvalidInput("write a prompt: what shall be in the picture?", param="prompt")
    defaults = model.defaults
    width, height = body.width or defaults.width, body.height or defaults.height
    steps = body.steps or defaults.steps
    frames = (body.frames or defaults.frames) if task.makes_video else 1
    _check_limits(model, width, height, steps, frames)
    chosen_format = _format(body, task)
    optional: dict[str, Any] = {}
    if task.makes_video:
        optional["fps"] = body.fps or defaults.fps
        optional["motion"] = defaults.motion if body.motion is None else body.motion
    if task is Task.IMAGE_TO_IMAGE:
        optional["strength"] = defaults.strength if body.strength is None else body.strength
    if chosen_format in _LOSSY and body.quality is not None:
        optional["quality"] = body.quality
    return JobRequest(
        model=model.name,
        revision=model.revision,
        task=task,
        prompt=prompt,
        negative_prompt=negative,
        width=width,
        height=height,
        steps=steps,
        guidance=defaults.guidance if body.guidance is None else body.guidance,
        seed=seed,
        frames=frames,
        format=chosen_format,
        **optional,
    )


def infer_task(body: JobBody, model: CatalogModel, *, has_image: bool) -> Task:
    """The task: as asked, or the model's first that fits the presence of an image."""
    offered = ", ".join(task.value for task in model.tasks)
    if body.task is not None:
        if body.task not in model.tasks:
            raise InvalidInput(f"{model.name} does not do {body.task.value}; it does {offered}", param="task")
        if body.task.wants_image and not has_image:
            raise InvalidInput(f'{body.task.value} needs an image: {{"job": "<id>"}} or {{"base64": …}}', param="image")
        if has_image and not body.task.wants_image:
            raise InvalidInput(f"{body.task.value} takes no image; leave image away", param="image")
        return body.task
    fitting = next((task for task in model.tasks if task.wants_image is has_image), None)
    if fitting is not None:
        return fitting
    if has_image:
        raise InvalidInput(f"{model.name} takes no image; it does {offered}", param="image")
    raise InvalidInput(f'{model.name} needs an image: {{"job": "<id>"}} or {{"base64": …}}', param="image")


def expand_style(body: JobBody, model: CatalogModel) -> tuple[str, str]:
    """Prompt and negative prompt with the style's words around them."""
    prompt, negative = (body.prompt or "").strip(), (body.negative_prompt or "").strip()
    if body.style is None:
        return prompt, negative
    style = next((style for style in model.styles if style.name == body.style), None)
    if style is None:
        names = ", ".join(style.name for style in model.styles) or "none"
        raise InvalidInput(f"{model.name} has no such style; it has: {names}", param="style")
    both = ", ".join(part for part in (style.negative, negative) if part)
    return style.prompt.replace("{prompt}", prompt), both


def _require_applicable(body: JobBody, task: Task) -> None:
    """A parameter that would silently do nothing is refused."""
    if not task.makes_video:
        for name in ("frames", "fps", "motion"):
            if getattr(body, name) is not None:
                raise InvalidInput(f"{name} belongs to videos; {task.value} makes an image", param=name)
    if task is not Task.IMAGE_TO_IMAGE and body.strength is not None:
        raise InvalidInput(f"strength belongs to {Task.IMAGE_TO_IMAGE.value}, not to {task.value}", param="strength")


def _check_limits(model: CatalogModel, width: int, height: int, steps: int, frames: int) -> None:
    limits = model.limits
    for name, value in (("width", width), ("height", height)):
        if value % limits.size_multiple:
            nearest = max(1, round(value / limits.size_multiple)) * limits.size_multiple
            raise InvalidInput(
                f"{name} {value} is no multiple of {limits.size_multiple}; the nearest is {nearest}", param=name
            )
    if width * height > limits.max_pixels:
        raise InvalidInput(
            f"{width}×{height} is {width * height} pixels; {model.name} makes at most {limits.max_pixels}",
            param="width",
        )
    if steps > limits.max_steps:
        raise InvalidInput(f"{steps} steps; {model.name} takes at most {limits.max_steps}", param="steps")
    if frames > limits.max_frames:
        raise InvalidInput(f"{frames} frames; {model.name} makes at most {limits.max_frames}", param="frames")


def _format(body: JobBody, task: Task) -> Any:
    if body.format is None:
        return "mp4" if task.makes_video else "png"
    if (body.format == "mp4") is not task.makes_video:
        allowed = "mp4" if task.makes_video else ", ".join(_IMAGE_FORMATS)
        raise InvalidInput(f"{task.value} gives {allowed}, not {body.format}", param="format")
    return body.format
