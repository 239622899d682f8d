from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from modelpool_training.plan import OtherTraining
from modelpool_training.stages import run_stage


class Interrupted(Exception):
    pass


def train(work: Path, steps: int, *, stop_at: int | None = None) -> Tensor:
    torch.manual_seed(0)
    module = nn.Linear(4, 1)

    def loss_of_step(step: int, generator: torch.Generator) -> Tensor:
        if step == stop_at:
            raise Interrupted
        given = torch.randn(8, 4, generator=generator)
        difference: Tensor = module(given) - given.sum(dim=1, keepdim=True)
        return difference.square().mean()

    run_stage("line", module, loss_of_step, work=work, steps=steps, learning_rate=0.05, save_every=10)
    return module.weight.detach()


def test_stage_learns(tmp_path: Path) -> None:
    assert train(tmp_path, 300) == pytest.approx(torch.ones(1, 4), abs=0.1)


def test_interrupted_stage_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", 40)
    with pytest.raises(Interrupted):
        train(tmp_path / "halves", 40, stop_at=25)
    assert torch.equal(train(tmp_path / "halves", 40), whole)


def test_finished_stage_is_not_trained_again(tmp_path: Path) -> None:
    whole = train(tmp_path, 20)
    assert torch.equal(train(tmp_path, 20, stop_at=0), whole)


def test_checkpoint_of_a_model_that_was_built_otherwise_is_refused_by_name(tmp_path: Path) -> None:
    train(tmp_path, 10)
    wider = nn.Linear(5, 1)
    with pytest.raises(OtherTraining, match=r"line\.pt .* built otherwise; name another --work"):
        run_stage("line", wider, lambda step, _: wider.weight.sum(), work=tmp_path, steps=20, learning_rate=0.05)
