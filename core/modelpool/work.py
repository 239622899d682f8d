"""Work and price: two different measures of one job.

*Work* is expected GPU-seconds, for fairness and ETA: from the spec until measured, frozen into the job at enqueue.
*Price* is whole quota units, from the spec alone and never measured, so that 50 a day stays 50 a day.
"""

from __future__ import annotations

import math

from modelpool.jobs import JobRequest
from modelpool.resources.models import Defaults, Task

FIXED_SECONDS = 0.02
"""Per-job cost besides steps: encoding the prompt, decoding and storing the picture."""


def megapixel_steps(width: int, height: int, steps: int, frames: int, guidance: float) -> float:
    """Megapixels × steps × frames, twice with classifier-free guidance (guidance > 1 runs the network twice a step)."""
    return width * height / 1e6 * steps * frames * (2 if guidance > 1 else 1)


def steps_run(request: JobRequest) -> int:
    """Steps that a pipeline really makes: image to image enters late, at ``int(steps × strength)`` from the end.

    As ``get_timesteps`` of diffusers' image-to-image pipelines counts them.
    """
    if request.task is not Task.IMAGE_TO_IMAGE:
        return request.steps
    return min(request.steps, max(1, int(request.steps * request.strength)))


def megapixel_steps_run(request: JobRequest) -> float:
    """What the GPU does for one job, in :func:`megapixel_steps`: what work and the measured pace are counted in."""
    return megapixel_steps(request.width, request.height, steps_run(request), request.frames, request.guidance)


def expected_work(request: JobRequest, seconds_per_megapixel_step: float, fixed: float = FIXED_SECONDS) -> float:
    """Expected GPU-seconds of one job run alone."""
    return fixed + megapixel_steps_run(request) * seconds_per_megapixel_step


def price(request: JobRequest, defaults: Defaults, quota_units: int) -> int:
    """Whole quota units: ``quota_units`` within the model's defaults, for a larger job the ceiling of its ratio.

    By the steps that were asked for: a gentle change of a picture costs what the picture did.
    """
    asked = megapixel_steps(request.width, request.height, request.steps, request.frames, request.guidance)
    usual = megapixel_steps(defaults.width, defaults.height, defaults.steps, defaults.frames, defaults.guidance)
    # The tolerance keeps 3.0000000000000004 from costing 4.
    return max(quota_units, math.ceil(quota_units * asked / usual - 1e-9))
