"""From finished frames to files: PNG, WebP and JPEG by Pillow, MP4 by PyAV. Pure but for the encoders.

Files say which model and seed made them; prompts stay out, because results are public to whoever holds their key.
"""

from __future__ import annotations

import io
import json
import secrets
from collections.abc import Sequence
from contextlib import suppress

import av
import numpy as np
from av.codec import Codec
from av.codec.codec import UnknownCodecError
from av.video.stream import VideoStream
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from modelpool.errors import EngineError, UnusableJob
from modelpool.jobs import Durations, JobRequest
from modelpool.queue.port import Batch, ClaimedJob
from modelpool_worker.engines.protocol import Frames

SOFTWARE = "modelpool"
_VIDEO_CODECS = ("libx264", "h264", "mpeg4")
"""The first that this build of FFmpeg can encode with."""
_EXIF_SOFTWARE, _EXIF_DESCRIPTION = 0x0131, 0x010E


def encode(frames: Frames, request: JobRequest) -> bytes:
    """The file that the request asked for.

    :raises UnusableJob: a video asked for as a picture.
    :raises EngineError: FFmpeg has no encoder for a video.
    """
    if request.format == "mp4":
        return _mp4(frames, request)
    if len(frames) != 1:
        raise UnusableJob(f"a video of {len(frames)} frames cannot be stored as {request.format}", param="format")
    image = Image.fromarray(frames[0])
    target = io.BytesIO()
    if request.format == "png":
        notes = PngInfo()
        notes.add_text("Software", SOFTWARE)
        for name, value in _facts(request).items():
            notes.add_text(name, value)
        image.save(target, "PNG", pnginfo=notes, compress_level=4)
    elif request.format == "webp":
        image.save(target, "WEBP", quality=request.quality, exif=_exif(request))
    else:
        image.save(target, "JPEG", quality=request.quality, exif=_exif(request))
    return target.getvalue()


def new_key(request: JobRequest) -> str:
    """A key that nobody can guess and no other attempt writes to."""
    return f"results/{secrets.token_urlsafe(24)}.{request.format}"


def durations_of(
    job: ClaimedJob, batch: Batch, loads_ms: Sequence[tuple[int, int]], ran_ms: int, computed_ms: int
) -> Durations:
    """Where the time went. ``loads_ms`` are the intervals of the model's last loads, by the queue's clock."""
    waited = max(0, batch.claimed_at - job.enqueued_at)
    loaded = sum(max(0, min(end, batch.claimed_at) - max(start, job.enqueued_at)) for start, end in loads_ms)
    return Durations(waited=waited, loaded=loaded, ran=max(0, ran_ms), computed=computed_ms)


def _facts(request: JobRequest) -> dict[str, str]:
    return {"model": request.model, "seed": str(request.seed)}


def _exif(request: JobRequest) -> Image.Exif:
    exif = Image.Exif()
    exif[_EXIF_SOFTWARE] = SOFTWARE
    exif[_EXIF_DESCRIPTION] = json.dumps(_facts(request))
    return exif


def _mp4(frames: Frames, request: JobRequest) -> bytes:
    """H.264 where there is an encoder; 4:2:0 colour wants even sizes, so an odd edge is repeated."""
    padded = np.pad(frames, ((0, 0), (0, frames.shape[1] % 2), (0, frames.shape[2] % 2), (0, 0)), "edge")
    target = io.BytesIO()
    with av.open(target, "w", format="mp4", options={"movflags": "use_metadata_tags"}) as container:
        container.metadata.update({"comment": json.dumps(_facts(request)), "encoder": SOFTWARE})
        stream = container.add_stream(_video_codec(), rate=request.fps)
        if not isinstance(stream, VideoStream):
            raise TypeError("the video encoder made no video stream")
        stream.width, stream.height, stream.pix_fmt = padded.shape[2], padded.shape[1], "yuv420p"
        stream.thread_count = 1
        if stream.codec_context.name == "libx264":
            stream.options = {"crf": str(_crf(request.quality))}
        else:
            stream.bit_rate = max(200_000, padded.shape[1] * padded.shape[2] * request.fps // 5)
        for picture in padded:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
        container.mux(stream.encode())
    return target.getvalue()


def _crf(quality: int) -> int:
    """x264's constant rate factor for a quality of 1 to 100: 90 is 18, hardly to be told from the original."""
    return round(51 - quality * 0.37)


def _video_codec() -> str:
    # Not by `av.codecs_available`, which names decoders too: every FFmpeg can read h264, not every one can write it.
    for name in _VIDEO_CODECS:
        with suppress(UnknownCodecError):
            return Codec(name, "w").name
    raise EngineError(f"this worker's FFmpeg can encode no video: it has none of {', '.join(_VIDEO_CODECS)}")
