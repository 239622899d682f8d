"""A contact sheet: what each model makes of some prompts, to be looked at."""

from pathlib import Path

import numpy as np
from PIL import Image

from modelpool_training.drawing import Picture
from modelpool_training.generate import load_pipeline, make_clips, make_pictures
from modelpool_training.motion import FRAMES
from modelpool_training.vocabulary import STYLES, choose_held_out, sentence

_COLUMNS = 12
_GAP = 2
_ZOOM = 2


def contact_sheet(models: Path, seed: int) -> Image.Image:
    """Two rows of held-out prompts for each style, and under them a clip from the first picture of each style."""
    prompts = [sentence(scene) for scene in choose_held_out(2 * _COLUMNS, seed)]
    rows: list[list[Picture]] = []
    for style in STYLES:
        pictures = list(make_pictures(load_pipeline(models / f"shapes-{style}"), prompts, seed))
        rows += [pictures[:_COLUMNS], pictures[_COLUMNS:]]
    starts = [row[0] for row in rows[::2]]
    clips = list(make_clips(load_pipeline(models / "shapes-motion"), starts, seed))
    blank = np.full_like(starts[0], 255)
    rows += [[start, *clip, *[blank] * (_COLUMNS - FRAMES - 1)] for start, clip in zip(starts, clips, strict=True)]
    return _tiled(rows)


def _tiled(rows: list[list[Picture]]) -> Image.Image:
    padded = [[np.pad(picture, ((0, _GAP), (0, _GAP), (0, 0)), constant_values=255) for picture in row] for row in rows]
    pixels = np.concatenate([np.concatenate(row, axis=1) for row in padded])
    image = Image.fromarray(pixels)
    return image.resize((image.width * _ZOOM, image.height * _ZOOM), Image.Resampling.NEAREST)
