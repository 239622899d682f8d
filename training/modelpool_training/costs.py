"""What each stage of a training has cost so far, from its checkpoints."""

from dataclasses import dataclass
from pathlib import Path

import torch


@dataclass(frozen=True, slots=True)
class Cost:
    """Steps that a stage has done, and the seconds of processor time (of all threads together) they took."""

    stage: str
    steps: int
    cpu_seconds: float


def read_costs(work: Path) -> list[Cost]:
    """One cost a stage that has a checkpoint in `work`, in the order of their last steps."""
    found = []
    for file in sorted(work.glob("*.pt"), key=lambda file: file.stat().st_mtime):
        if not file.name.startswith("latents-"):
            saved = torch.load(file, weights_only=True, mmap=True)
            found.append(Cost(file.stem, saved["step"], saved["cpu_seconds"]))
    return found


def cost_table(costs: list[Cost]) -> str:
    """The costs as lines of text."""
    head = f"{'stage':18}{'steps':>7}{'CPU min':>9}{'ms/step':>9}"
    rows = [
        f"{cost.stage:18}{cost.steps:7}{cost.cpu_seconds / 60:9.1f}{1000 * cost.cpu_seconds / cost.steps:9.0f}"
        for cost in costs
    ]
    return "\n".join([head, *rows, f"{'all':25}{sum(cost.cpu_seconds for cost in costs) / 60:9.1f}"])
