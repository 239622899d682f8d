"""How long each stage trains, and that one folder of checkpoints is of one plan."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Plan:
    """Numbers of steps and of drawings (per style). The defaults are meant to take about 90 minutes on two cores."""

    drawings: int = 8000
    clips: int = 1600
    autoencoder_steps: int = 3600
    text_steps: int = 500
    primary_steps: int = 3000
    style_steps: int = 800
    video_steps: int = 2500


FAST = Plan(
    drawings=64,
    clips=8,
    autoencoder_steps=2,
    text_steps=2,
    primary_steps=2,
    style_steps=2,
    video_steps=2,
)
"""Enough to see every stage run and every folder load, in seconds; the pictures are noise."""


class OtherTraining(Exception):
    """The checkpoints at hand are not of this training."""


def claim_folder(work: Path, plan: Plan) -> None:
    """Note in `work` which plan its checkpoints are of.

    Raises:
        OtherTraining: they are of another one; a mixture of two would be like neither.
    """
    noted, ours = work / "plan.json", json.dumps(asdict(plan), indent=2)
    if noted.exists() and noted.read_text("utf-8") != ours:
        raise OtherTraining(f"{work} has the checkpoints of another plan; name another --work, or remove it")
    work.mkdir(parents=True, exist_ok=True)
    fresh = noted.with_suffix(".tmp")
    fresh.write_text(ours, "utf-8")
    fresh.replace(noted)
