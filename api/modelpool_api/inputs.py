"""Input images: found, read one at a time, stored by content. What users send is never passed on as it came."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import re
from dataclasses import dataclass, field

from modelpool.errors import InvalidInput, JobNotFound, ResultNotFound
from modelpool.jobs import JobState
from modelpool.store.port import Store
from modelpool_api.normalising import normalise
from modelpool_api.pools import Pools
from modelpool_api.schemas import ImageInput
from modelpool_api.turns import Turns

_DATA_URL = re.compile(r"data:[a-z0-9.+/-]{1,100}(;[a-z0-9=._-]{1,100})*;base64,", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Picture:
    """An input image that has been read, and the key that it has in the store: ``inputs/<sha256>.png``."""

    png: bytes = field(repr=False)
    key: str


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
    """Takes images in. One per process.

    ``turns`` are for :meth:`read`: one at a time, because each holds 18 bytes for every pixel, more than a quarter of the
    chart's memory at its cap.
    """

    def __init__(self, store: Store, pools: Pools, max_pixels: int) -> None:
        self._store = store
        self._pools = pools
        self._max_pixels = max_pixels
        self.turns = Turns()

    async def find(self, image: ImageInput) -> bytes | str:
        """What ``image`` means: the bytes that were sent, or the key of a finished job's result, which is not read yet.

        :raises InvalidInput: not base64, or the job has not ended well or made no image.
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
        return record.result.key

    async def read(self, image: bytes | str) -> Picture:
        """Normalise what :meth:`find` has found, within a turn; nothing is stored.

        :raises InvalidInput: the result is gone, or see :func:`modelpool_api.normalising.normalise`.
        """
        data = image if isinstance(image, bytes) else await self._result(image)
        return await asyncio.to_thread(_read, data, self._max_pixels)

    async def keep(self, picture: Picture) -> None:
        """Store a picture. Storing it again prolongs its life.

        Nobody takes it back when its job does not come to be: another job may have the same one. The sweeper does.
        """
        await self._store.put(picture.key, picture.png)

    async def _result(self, key: str) -> bytes:
        try:
            return await self._store.get(key)
        except ResultNotFound:
            raise InvalidInput("the result of image.job is gone: results live 24 hours", param="image.job") from None


def _read(data: bytes, max_pixels: int) -> Picture:
    png = normalise(data, max_pixels)
    return Picture(png, f"inputs/{hashlib.sha256(png).hexdigest()}.png")
