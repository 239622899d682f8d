"""Whether a file is what it should be: it must decode, not only exist."""

from __future__ import annotations

import itertools
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

LONGEST_VIDEO = 1000


class NotValid(Exception):
    """The file does not decode, or not to what it should be."""


def read_picture(path: Path, size: tuple[int, int]) -> Image:
    """The picture, decoded whole.

    :raises NotValid: it does not decode, or has another size.
    """
    from PIL import Image

    try:
        picture = Image.open(BytesIO(path.read_bytes()))
        picture.load()
    except (OSError, SyntaxError) as error:  # Pillow reports broken PNG chunks as SyntaxError
        raise NotValid(f"{path.name} does not decode: {error}") from None
    if picture.size != size:
        raise NotValid(f"{path.name} is {picture.width}×{picture.height} and should be {size[0]}×{size[1]}")
    return picture.convert("RGB")


def read_video(path: Path, size: tuple[int, int]) -> list[Image]:
    """The video's frames.

    :raises NotValid: it does not decode, has another size, or nothing moves.
    """
    import av

    try:
        with av.open(str(path)) as container:
            decoded = itertools.islice(container.decode(video=0), LONGEST_VIDEO)
            frames: list[Image] = [frame.to_image() for frame in decoded]  # type: ignore[no-untyped-call]  # PyAV's
    except (av.FFmpegError, IndexError) as error:
        raise NotValid(f"{path.name} does not decode: {error}") from None
    if len(frames) < 2:
        raise NotValid(f"{path.name} has {len(frames)} frames")
    if frames[0].size != size:
        raise NotValid(f"{path.name} is {frames[0].width}×{frames[0].height} and should be {size[0]}×{size[1]}")
    if all(frame.tobytes() == frames[0].tobytes() for frame in frames):
        raise NotValid(f"{path.name}: all {len(frames)} frames are the same")
    return frames
