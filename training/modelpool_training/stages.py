"""One stage of training: steps from a seed, a progress bar, checkpoints, an average of the weights."""

import math
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from time import process_time

import torch
from torch import Tensor, nn
from tqdm import tqdm

from modelpool_training.plan import OtherTraining

StepLoss = Callable[[int, torch.Generator], Tensor]

SEED = 20240

bar_line = ContextVar("bar_line", default=0)
"""How many lines down to draw the progress bars: other processes draw theirs on the lines above."""


def run_stage(
    name: str,
    module: nn.Module,
    loss_of_step: StepLoss,
    *,
    work: Path,
    steps: int,
    learning_rate: float,
    average: float = 0.995,
    save_every: int = 100,
) -> None:
    """Train `module` for `steps` steps, or what is left of them, and leave its averaged weights in it.

    Each step draws all its randomness from a generator seeded by the stage's name and the step's number, so that a
    restarted training sees what an undisturbed one would have seen. `average` is the share that the running average
    of the weights keeps at each step (0 keeps only the latest). The checkpoint counts the processor's seconds, of all
    threads of this process: those of the clock would count what else the machine does, and pauses.

    Raises:
        OtherTraining: the checkpoint is of a module with other weights.
    """
    file = work / f"{name}.pt"
    optimizer = torch.optim.AdamW(
        module.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True
    )
    averaged = {key: value.detach().clone() for key, value in module.state_dict().items()}
    first, seconds = 0, 0.0
    if file.exists():
        saved = torch.load(file, weights_only=True)
        _require_same_shapes(file, saved["module"], module)
        first, seconds, averaged = saved["step"], saved["cpu_seconds"], saved["averaged"]
        module.load_state_dict(saved["module"])
        if first < steps:
            optimizer.load_state_dict(saved["optimizer"])
    module.train()
    bar = tqdm(
        total=steps, initial=min(first, steps), desc=name, position=bar_line.get(), mininterval=5.0, smoothing=0.05
    )
    began = process_time()
    for step in range(first, steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * _rate_at(step, steps)
        loss = loss_of_step(step, _generator(name, step))
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        _update_average(averaged, module, min(average, (1 + step) / (10 + step)))
        bar.update()
        if step % 20 == 0:
            bar.set_postfix(loss=f"{loss.item():.4f}", refresh=False)
        if (step + 1) % save_every == 0 or step + 1 == steps:
            save_whole(
                file,
                {
                    "step": step + 1,
                    "cpu_seconds": seconds + process_time() - began,
                    "module": module.state_dict(),
                    "averaged": averaged,
                    "optimizer": optimizer.state_dict(),
                },
            )
    bar.close()
    module.load_state_dict(averaged)
    module.eval()


def _rate_at(step: int, steps: int) -> float:
    """Share of the full learning rate: a short rise, then half a cosine down to a twentieth."""
    rise = min(1.0, (step + 1) / min(100, max(1, steps // 5)))
    return rise * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * step / steps)))


def _generator(name: str, step: int) -> torch.Generator:
    salt = sum((place + 1) * ord(letter) for place, letter in enumerate(name))
    return torch.Generator().manual_seed((SEED * 1_000 + salt) * 1_000_000 + step)


def _update_average(averaged: dict[str, Tensor], module: nn.Module, keep: float) -> None:
    with torch.no_grad():
        for key, value in module.state_dict().items():
            if value.is_floating_point():
                averaged[key].lerp_(value, 1 - keep)
            else:
                averaged[key].copy_(value)


def _require_same_shapes(file: Path, saved: dict[str, Tensor], module: nn.Module) -> None:
    ours = {key: value.shape for key, value in module.state_dict().items()}
    if ours != {key: value.shape for key, value in saved.items()}:
        raise OtherTraining(
            f"{file} is the checkpoint of a model that was built otherwise; name another --work, or remove it"
        )


def save_whole(file: Path, content: object) -> None:
    """Write beside the old file, then replace it: a kill at any moment leaves one that loads."""
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_suffix(".tmp")
    torch.save(content, fresh)
    fresh.replace(file)
