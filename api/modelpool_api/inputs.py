"""Input images: decoded under a cap, re-encoded, stored by content. What users send is never passed on as it came."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import io
import re
from typing import TYPE_CHECKING

from modelpool.errors import InvalidInput, JobNotFound, ResultNotFound
from modelpool.jobs import JobState
from modelpool.store.port import Store
from modelpool_api.pools import Pools
from modelpool_api.schemas import ImageInput

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("PNG", "JPEG", "WEBP")
_DATA_URL = re.compile(r"data:[a-z0-9.+/-]{1,100}(;[a-z0-9=._-]{1,100})*;base64,", re.IGNORECASE)
DECODERS = 2
"""Decoding holds a whole picture in memory: not more than this many at once."""


def normalise(data: bytes, max_pixels: int) -> bytes:
    """The picture in ``data`` as PNG: upright, RGB, without metadata, first frame only.

    The same pixels give the same bytes. The size is read from the header before a pixel is decoded.

    :raises InvalidInput: no PNG, JPEG or WebP, too many pixels, or broken.
    """
    from PIL import Image, ImageOps  # only those who send an image pay for the import

    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            width, height = picture.size
            if width * height > max_pixels:
                raise InvalidInput(
                    f"the image has {width}×{height} pixels; at most {max_pixels} are taken", param="image"
                )
            picture.load()
            plain = _on_white(ImageOps.exif_transpose(picture))
            # Metadata travels in `info`; a new picture has none.
            bare = Image.frombytes("RGB", plain.size, plain.tobytes())
    except InvalidInput:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InvalidInput(f"the image has too many pixels; at most {max_pixels} are taken", param="image") from error
    except Exception as error:
        # Decoders raise many kinds (OSError, SyntaxError, struct.error, ValueError …) for broken files.
        raise InvalidInput("the image cannot be read; send a whole PNG, JPEG or WebP file", param="image") from error
    out = io.BytesIO()
    bare.save(out, "PNG", compress_level=1)
    return out.getvalue()


def _on_white(picture: Image.Image) -> Image.Image:
    """RGB; what was transparent becomes white."""
    from PIL import Image

    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        with_alpha = picture.convert("RGBA")
        ground = Image.new("RGBA", with_alpha.size, "white")
        return Image.alpha_composite(ground, with_alpha).convert("RGB")
    return picture.convert("RGB")


def decode_base64(text: str) -> bytes:
    """The bytes of base64, with or without a ``data:`` URL in front.

    :raises InvalidInput: not base64.
    """
    found = _DATA_URL.match(text)
    try:
        return base64.b64decode(text[found.end() :] if found else text, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInput("image.base64 is not base64; send the file's bytes, encoded", param="image.base64") from None


class Inputs:
    """Takes images in. One per process."""

    def __init__(self, store: Store, pools: Pools, max_pixels: int) -> None:
        self._store = store
        self._pools = pools
        self._max_pixels = max_pixels
        self._decoders = asyncio.Semaphore(DECODERS)

    async def bytes_of(self, image: ImageInput) -> bytes:
        """The bytes that ``image`` means: those sent, or the result of a finished job.

        :raises InvalidInput: the job has not ended well, made no image, or its result is gone.
        """
        if image.base64 is not None:
            return decode_base64(image.base64)
        job = image.job or ""
        try:
            record = await self._pools.of_job(job).queue.get(job)
        except JobNotFound:
            raise InvalidInput("image.job names no job, or its record has expired", param="image.job") from None
        if record.state is not JobState.SUCCEEDED or record.result is None:
            cure = f"it has {record.state.value}" if record.state.is_final else "wait until it has succeeded"
            raise InvalidInput(f"image.job has no result: {cure}", param="image.job")
        if not record.result.content_type.startswith("image/"):
            raise InvalidInput("image.job made a video; an image is needed", param="image.job")
        try:
            return await self._store.get(record.result.key)
        except ResultNotFound:
            raise InvalidInput("the result of image.job is gone: results live 24 hours", param="image.job") from None

    async def keep(self, data: bytes) -> str:
        """Normalise and store; returns the key ``inputs/<sha256>.png``. Storing again prolongs the input's life."""
        async with self._decoders:
            png = await asyncio.to_thread(normalise, data, self._max_pixels)
        key = f"inputs/{hashlib.sha256(png).hexdigest()}.png"
        await self._store.put(key, png)
        return key
