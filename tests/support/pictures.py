"""Pictures as users send them."""

import io
from typing import Any

from PIL import Image


def picture(
    kind: str = "PNG", size: tuple[int, int] = (32, 24), colour: Any = "red", mode: str = "RGB", **options: Any
) -> bytes:
    """The bytes of a picture of one colour."""
    out = io.BytesIO()
    Image.new(mode, size, colour).save(out, kind, **options)
    return out.getvalue()
