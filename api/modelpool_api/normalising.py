"""An input image as everybody behind the API gets it: RGB, upright, PNG, nothing but pixels. Pure.

What a picture of the cap's size takes beside the bytes that came, at most, is a WebP's: two canvases and a copy in the
decoder and the decoded picture, each of four bytes a pixel. After that it goes on in bands of rows.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from modelpool.errors import InvalidInput

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("PNG", "JPEG", "WEBP")
UNREADABLE = "the image cannot be read; send a whole PNG, JPEG or WebP file"
_BAND = 128
"""Rows."""


class BrokenPicture(InvalidInput):
    """A picture whose header is in order and whose pixels are not: they have been decoded, as far as they go, for nothing."""

    code = "unreadable_image"
    title = "Unreadable image"
    headers: Mapping[str, str] = MappingProxyType({})


def normalise(data: bytes, max_pixels: int) -> bytes:
    """The picture in ``data`` as PNG: upright, RGB, without metadata, first frame only.

    The same pixels give the same bytes. What the header tells, size and orientation, is read before a pixel is decoded.

    :raises BrokenPicture: it breaks off or is damaged behind its header.
    :raises InvalidInput: no PNG, JPEG or WebP, too many pixels, or a broken header; no pixel was decoded.
    """
    from PIL import Image  # only those who send an image pay for the import

    try:
        plain = _decoded(data, max_pixels)
    except InvalidInput:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InvalidInput(f"the image has too many pixels; at most {max_pixels} are taken", param="image") from error
    except Exception as error:
        # Decoders raise many kinds (OSError, SyntaxError, struct.error, ValueError …) for broken files.
        raise InvalidInput(UNREADABLE, param="image") from error
    out = io.BytesIO()
    plain.save(out, "PNG", compress_level=1)
    return out.getvalue()


def _decoded(data: bytes, max_pixels: int) -> Image.Image:
    """Upright and RGB. A function of its own: the decoder and what it holds are gone when the encoder begins."""
    from PIL import ExifTags, Image, ImageOps

    with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
        width, height = picture.size
        if width * height > max_pixels:
            raise InvalidInput(f"the image has {width}×{height} pixels; at most {max_pixels} are taken", param="image")
        if picture.format != "PNG" or "exif" in picture.info:
            picture.getexif()  # a PNG may have it behind its pixels, and would decode them to look
        try:
            plain, turned = _pixels(picture)
        except Exception as error:
            raise BrokenPicture(UNREADABLE, param="image") from error
    del picture
    plain.getexif()[ExifTags.Base.Orientation] = turned
    ImageOps.exif_transpose(plain, in_place=True)
    return plain


def _pixels(picture: Image.Image) -> tuple[Image.Image, int]:
    """RGB, and the orientation (1 to 8)."""
    from PIL import ExifTags, Image

    picture.load()
    picture.fp = None  # type: ignore[attr-defined]  # a WebP keeps a decoded copy there
    width, height = picture.size
    # Metadata travels in `info`; a new picture has none.
    plain = Image.new("RGB", picture.size)
    for top in range(0, height, _BAND):
        plain.paste(_on_white(picture.crop((0, top, width, min(height, top + _BAND)))), (0, top))
    turned = picture.getexif().get(ExifTags.Base.Orientation, 1)
    return plain, int(turned) if turned in range(1, 9) else 1


def _on_white(picture: Image.Image) -> Image.Image:
    """RGB; what was transparent becomes white."""
    from PIL import Image

    if picture.mode == "I;16":  # a conversion would make all above 255 of 65,535 white
        picture = picture.point(lambda level: level / 256).convert("L")
        picture.info.pop("transparency", None)  # a level of 16 bits
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        with_alpha = picture.convert("RGBA")
        ground = Image.new("RGBA", with_alpha.size, "white")
        return Image.alpha_composite(ground, with_alpha).convert("RGB")
    return picture.convert("RGB")
