"""`modelpool submit`: send a job, watch it, save the file."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from modelpool_cli.api import Api, Job
from modelpool_cli.saving import require_writable, save
from modelpool_local.exits import CommandFailed, Exit

FORMATS = {".png": "png", ".webp": "webp", ".jpg": "jpeg", ".jpeg": "jpeg", ".mp4": "mp4"}
"""Output format by file extension."""
_NUMBER = re.compile("[0-9]{1,99}")
"""A seed that is sent as a number. Anything else is sent as it was written, and the API says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class SubmitOptions:
    """The command line of `modelpool submit`, parsed. None leaves it to the model's defaults."""

    prompt: str
    model: str
    out: Path | None = None
    image: Path | None = None
    image_job: str | None = None
    task: str | None = None
    negative_prompt: str | None = None
    width: int | None = None
    height: int | None = None
    steps: int | None = None
    guidance: float | None = None
    frames: int | None = None
    seed: str | None = None
    style: str | None = None
    format: str | None = None
    fresh: bool = False


def body_of(options: SubmitOptions) -> dict[str, Any]:
    """The request body; what was not given is left away.

    :raises CommandFailed: the image cannot be read, or the options contradict each other.
    """
    values: dict[str, Any] = {
        "model": options.model,
        "prompt": options.prompt or None,
        "task": options.task,
        "negativePrompt": options.negative_prompt,
        "width": options.width,
        "height": options.height,
        "steps": options.steps,
        "guidance": options.guidance,
        "frames": options.frames,
        "seed": int(options.seed) if options.seed and _NUMBER.fullmatch(options.seed) else options.seed,
        "style": options.style,
        "format": _format(options),
        "image": _image(options),
        "cache": False if options.fresh else None,
    }
    return {name: value for name, value in values.items() if value is not None}


def submit(api: Api, options: SubmitOptions, console: Console, *, wait: bool, as_json: bool) -> None:
    """Send, wait, save, and say what came of it.

    :raises CommandFailed: nothing can be saved there, refused, unreachable, or the job did not succeed.
    """
    body = body_of(options)
    if wait:
        require_writable(options.out or Path(options.model.replace("/", "-")))
    job = api.submit(body)
    if not wait:
        _report(job, None, console, as_json, f"{job['id']} {job['state']}")
        return
    job = _watch(api, job, console, quiet=as_json)
    if job["state"] != "succeeded":
        raise CommandFailed(Exit.FAILED, ending(job))
    out = options.out or Path(f"{options.model.replace('/', '-')}-{job['result']['seed']}{_extension(job)}")
    save(out, api.download(job["result"]["url"]))
    _report(job, out, console, as_json, f"{out}: {summary(job)}")


def describe(job: Job) -> str:
    """Where the job stands, in a few words."""
    eta = (job.get("eta") or {}).get("text", "")
    state: str = job["state"]
    if state == "queued":
        ahead = job.get("position")
        place = {None: "queued", 0: "next in line"}.get(ahead, f"{ahead} in front")
        return f"{place}, {eta}" if eta else place
    if state == "following":
        return "the same is being made for somebody else"
    if state == "running":
        return f"running, {eta}" if eta else "running"
    return state


def summary(job: Job) -> str:
    """A finished job in one line."""
    result, durations = job["result"], job.get("durations") or {}
    size = f"{result['width']}×{result['height']}, seed {result['seed']}"
    if job.get("cached"):
        return f"{size}, from the cache"
    waited, loaded, ran = (round(durations.get(name, 0) / 1000, 1) for name in ("waited", "loaded", "ran"))
    loading = f" ({loaded:.1f} s of it loading)" if loaded else ""
    company = f" in a batch of {job['batchSize']}" if (job.get("batchSize") or 1) > 1 else ""
    return f"{size}, waited {waited:.1f} s{loading}, ran {ran:.1f} s{company}"


def ending(job: Job) -> str:
    """Why a job did not succeed, in one line."""
    error = job.get("error")
    return f"job {job['id']} {job['state']}" + (f": {error['message']}" if error else "")


def _watch(api: Api, job: Job, console: Console, *, quiet: bool) -> Job:
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(bar_width=24), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task("sending", total=None)
        for shown in api.follow(job):
            job = shown
            progress = job.get("progress") if job["state"] == "running" else None
            bar.update(task, description=describe(job), total=1 if progress is not None else None)
            if progress is not None:
                bar.update(task, completed=progress)
    return job


def _report(job: Job, out: Path | None, console: Console, as_json: bool, line: str) -> None:
    if as_json:
        print(json.dumps({**job, **({"file": str(out)} if out else {})}, ensure_ascii=False))
    else:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _format(options: SubmitOptions) -> str | None:
    if options.out is None:
        return options.format
    known = FORMATS.get(options.out.suffix.lower())
    if known is None and options.format is None:
        raise CommandFailed(
            Exit.USAGE, f"{options.out}: the name must end in {', '.join(FORMATS)}, or give --format as well"
        )
    if known is not None and options.format not in (None, known):
        raise CommandFailed(
            Exit.USAGE, f"{options.out} would hold {options.format}; give it another ending, or leave --format away"
        )
    return known or options.format


def _image(options: SubmitOptions) -> dict[str, str] | None:
    if options.image_job is not None:
        return {"job": options.image_job}
    if options.image is None:
        return None
    try:
        return {"base64": base64.b64encode(options.image.read_bytes()).decode()}
    except OSError as error:
        raise CommandFailed(Exit.USAGE, f"cannot read {options.image}: {error.strerror}") from None


def _extension(job: Job) -> str:
    return Path(job["result"]["url"].partition("?")[0]).suffix or ".png"
