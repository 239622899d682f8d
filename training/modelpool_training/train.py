"""Train the models in the order in which they build on one another, two at once where they do not."""

import os
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from multiprocessing.queues import SimpleQueue
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextModelWithProjection, CLIPTokenizer

from modelpool_training.autoencoder import train_autoencoder
from modelpool_training.export import export_image_to_video, export_text_to_image
from modelpool_training.image_to_video import train_image_to_video
from modelpool_training.pictures import Encoded, encoded_set
from modelpool_training.plan import Plan, claim_folder
from modelpool_training.stages import bar_line
from modelpool_training.text_encoder import train_text_encoder
from modelpool_training.text_to_image import train_unet
from modelpool_training.tokenizer import load_tokenizer, write_tokenizer
from modelpool_training.vocabulary import MODELS, STYLES

_AT_ONCE = 2
_PRIMARY, _STYLED, _VIDEO = MODELS[0], MODELS[1:-1], MODELS[-1]


def train(names: Iterable[str], work: Path, out: Path, plan: Plan) -> None:
    """Train the named models, and what they start from, and write each as a folder into `out`.

    Whatever `work` holds of an earlier run with the same plan is continued or reused. The autoencoder that all share
    gets every core. Then two models train at a time, each in a process with its part of the cores: for steps this
    small that does more than one process with them all.

    Raises:
        OtherTraining: `work` has checkpoints of another plan or of models that were built otherwise.
        Exception: what went wrong in training a model; the one beside it is trained to its end first.
    """
    wanted = set(names)
    claim_folder(work, plan)
    write_tokenizer(work / "tokenizer")
    train_autoencoder(work, plan)
    context = get_context("forkserver")  # a fork of this process would inherit torch's threads, and hang
    context.set_forkserver_preload([__name__])
    lines: SimpleQueue[int] = context.SimpleQueue()
    for line in range(_AT_ONCE):
        lines.put(line)
    threads = max(1, (os.cpu_count() or 1) // _AT_ONCE)
    with ProcessPoolExecutor(_AT_ONCE, context, _begin, (threads, lines)) as processes:
        running: set[Future[None]] = set()
        primary = None
        if wanted - {_VIDEO}:
            primary = processes.submit(_train_primary, _PRIMARY in wanted, work, out, plan)
            running.add(primary)
        if _VIDEO in wanted:
            running.add(processes.submit(_train_video, work, out, plan))
        while running:
            ended, running = wait(running, return_when=FIRST_COMPLETED)
            for future in ended:
                future.result()
            if primary in ended:
                running |= {
                    processes.submit(_train_styled, name, work, out, plan) for name in _STYLED if name in wanted
                }


def _begin(threads: int, lines: "SimpleQueue[int]") -> None:
    torch.set_num_threads(threads)
    bar_line.set(lines.get())


@dataclass(frozen=True, slots=True)
class _Common:
    """What all text-to-image models have in common."""

    autoencoder: AutoencoderKL
    tokenizer: CLIPTokenizer
    text_encoder: CLIPTextModelWithProjection


def _common(work: Path, plan: Plan) -> _Common:
    tokenizer = load_tokenizer(work / "tokenizer")
    return _Common(train_autoencoder(work, plan), tokenizer, train_text_encoder(tokenizer, work, plan))


def _train_primary(is_wanted: bool, work: Path, out: Path, plan: Plan) -> None:
    common = _common(work, plan)
    unet = _primary_unet(common, work, plan)
    if is_wanted:
        _export(_PRIMARY, unet, common, out)


def _train_styled(name: str, work: Path, out: Path, plan: Plan) -> None:
    common = _common(work, plan)
    _export(name, _unet(name, plan.style_steps, _primary_unet(common, work, plan), common, work, plan), common, out)


def _train_video(work: Path, out: Path, plan: Plan) -> None:
    export_image_to_video(train_image_to_video(train_autoencoder(work, plan), work, plan), out / _VIDEO)


def _primary_unet(common: _Common, work: Path, plan: Plan) -> UNet2DConditionModel:
    return _unet(_PRIMARY, plan.primary_steps, None, common, work, plan)


def _unet(
    name: str, steps: int, start: UNet2DConditionModel | None, common: _Common, work: Path, plan: Plan
) -> UNet2DConditionModel:
    style = dict(zip(MODELS, STYLES, strict=False)).get(name, STYLES[0])

    @cache
    def encoded() -> Encoded:
        return encoded_set(common.autoencoder, style, plan.drawings, seed=2, work=work)

    return train_unet(
        name,
        common.tokenizer,
        common.text_encoder,
        encoded=encoded,
        start=start,
        steps=steps,
        work=work,
    )


def _export(name: str, unet: UNet2DConditionModel, common: _Common, out: Path) -> None:
    export_text_to_image(unet, common.autoencoder, common.tokenizer, common.text_encoder, out / name)
