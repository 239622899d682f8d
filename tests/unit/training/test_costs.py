import itertools
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from modelpool_training import stages
from modelpool_training.costs import Cost, cost_table, read_costs
from modelpool_training.stages import run_stage


@pytest.fixture(autouse=True)
def _half_a_second_at_each_look(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = itertools.count()
    monkeypatch.setattr(stages, "process_time", lambda: next(looks) / 2)


def train(work: Path, name: str, steps: int) -> None:
    module = nn.Linear(2, 1)

    def loss_of_step(step: int, generator: torch.Generator) -> Tensor:
        loss: Tensor = module(torch.randn(4, 2, generator=generator)).square().mean()
        return loss

    run_stage(name, module, loss_of_step, work=work, steps=steps, learning_rate=0.01, save_every=10)


def test_costs_are_the_stages_processor_seconds(tmp_path: Path) -> None:
    train(tmp_path, "shapes", 10)
    assert read_costs(tmp_path) == [Cost("shapes", 10, 0.5)]


def test_a_continued_stage_adds_to_what_it_had_cost(tmp_path: Path) -> None:
    train(tmp_path, "shapes", 10)
    train(tmp_path, "shapes", 20)
    assert read_costs(tmp_path) == [Cost("shapes", 20, 1.0)]


def test_stages_come_in_the_order_in_which_they_ended_and_latents_are_none(tmp_path: Path) -> None:
    train(tmp_path, "later", 10)
    train(tmp_path, "earlier", 10)
    torch.save(torch.zeros(2), tmp_path / "latents-flat.pt")
    (tmp_path / "latents-neon.pt").write_bytes(b"half a file")
    (tmp_path / "later.pt").touch()
    assert [cost.stage for cost in read_costs(tmp_path)] == ["earlier", "later"]


def test_table_has_minutes_and_the_sum() -> None:
    lines = cost_table([Cost("base", 800, 120.0), Cost("shapes-flat", 2500, 600.0)]).splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["base", "800", "2.0", "150"],
        ["shapes-flat", "2500", "10.0", "240"],
        ["all", "12.0"],
    ]
