"""The contact sheet: every picture with its prompt, and the frames of the videos, on one page."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

CELL = 176
CAPTION = 58
GAP = 12
COLUMNS = 6
PAPER = (250, 250, 248)
INK = (40, 40, 44)


@dataclass(frozen=True, slots=True)
class Cell:
    """One picture and what is written below it."""

    picture: Image
    title: str
    caption: str


def contact_sheet(cells: Sequence[Cell], strips: Sequence[tuple[str, Sequence[Image]]], title: str) -> Image:
    """A page with a grid of ``cells`` and below it one strip of frames for each video."""
    from PIL import Image, ImageDraw, ImageFont

    rows = -(-len(cells) // COLUMNS)
    width = GAP + COLUMNS * (CELL + GAP)
    top = 52
    strip_size = (width - GAP) // 8 - GAP
    height = top + rows * (CELL + CAPTION + GAP) + len(strips) * (strip_size + 34 + GAP)
    page = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(page)
    heading, bold, small = (ImageFont.load_default(size) for size in (22, 13, 11))
    draw.text((GAP, 14), title, INK, font=heading)
    for index, cell in enumerate(cells):
        x = GAP + index % COLUMNS * (CELL + GAP)
        y = top + index // COLUMNS * (CELL + CAPTION + GAP)
        page.paste(_enlarged(cell.picture, CELL), (x, y))
        draw.text((x, y + CELL + 4), cell.title, INK, font=bold)
        draw.multiline_text((x, y + CELL + 20), textwrap.fill(cell.caption, 31), INK, font=small, spacing=2)
    y = top + rows * (CELL + CAPTION + GAP)
    for caption, frames in strips:
        draw.text((GAP, y + 6), caption, INK, font=bold)
        for index, frame in enumerate(frames[:8]):
            page.paste(_enlarged(frame, strip_size), (GAP + index * (strip_size + GAP), y + 26))
        y += strip_size + 34 + GAP
    return page


def _enlarged(picture: Image, side: int) -> Image:
    from PIL import Image

    scale = side / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.BICUBIC)
