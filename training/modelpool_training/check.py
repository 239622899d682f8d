"""Check the models' folders: do their pictures show what the prompts ask for, do their clips move?"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from modelpool_training.drawing import Picture, draw
from modelpool_training.generate import load_pipeline, make_clips, make_pictures
from modelpool_training.reading import Reading, read_picture
from modelpool_training.scores import Rates, clip_rates, picture_rates
from modelpool_training.vocabulary import STYLES, choose_held_out, sentence

_SEED = 100_000  # of the prompts and of the noise; training draws from other seeds


def check_pictures(model: str, folder: Path, count: int) -> Rates:
    """Rates over `count` prompts that no training picture answers."""
    scenes = choose_held_out(count, _SEED)
    pictures = make_pictures(load_pipeline(folder), [sentence(scene) for scene in scenes], _SEED)
    style = model.removeprefix("shapes-")
    return picture_rates(model, scenes, [read_picture(picture, style) for picture in pictures])


def check_clips(model: str, folder: Path, count: int) -> Rates:
    """Rates over `count` drawings that the training did not show, the styles in turn."""
    scenes = choose_held_out(count, _SEED)
    rng = np.random.default_rng(_SEED)
    styles = [STYLES[number % len(STYLES)] for number in range(count)]
    pictures = [draw(scene, style, rng) for scene, style in zip(scenes, styles, strict=True)]
    shown = [_read_drawing(picture, style) for picture, style in zip(pictures, styles, strict=True)]
    clips = make_clips(load_pipeline(folder), pictures, _SEED)
    frames = [[read_picture(frame, style) for frame in clip] for clip, style in zip(clips, styles, strict=True)]
    return clip_rates(model, shown, frames)


def _read_drawing(picture: Picture, style: str) -> Reading:
    reading = read_picture(picture, style)
    if reading is None:
        raise RuntimeError(f"cannot read a drawing in style {style}")
    return reading


def check(models: Path, names: Iterable[str], prompts: int, clips: int) -> list[Rates]:
    """The rates of each named model in the folder `models`."""
    return [
        check_clips(name, models / name, clips)
        if name == "shapes-motion"
        else check_pictures(name, models / name, prompts)
        for name in names
    ]
