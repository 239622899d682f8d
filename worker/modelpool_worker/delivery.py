"""Behind the engine: encode, store, and only then tell the queue, so that a zombie can overwrite and deliver nothing."""

from __future__ import annotations

import io
from contextlib import suppress

from PIL import Image, UnidentifiedImageError

from modelpool.errors import EngineError, ModelpoolError, NotFound, StoreUnavailable, Unavailable, UnusableJob
from modelpool.jobs import CONTENT_TYPES, JobRequest, JobResult
from modelpool.queue.port import ClaimedJob
from modelpool.store.port import Store
from modelpool_worker.clock import Clock
from modelpool_worker.computing import Pass
from modelpool_worker.engines.protocol import Frames
from modelpool_worker.finish import durations_of, encode, new_key
from modelpool_worker.patience import patiently
from modelpool_worker.residency.held import Held
from modelpool_worker.running import Run
from modelpool_worker.threads import SerialThread

STORE_FOR_SECONDS = 20.0
"""How long a store may be away before the attempt counts as failed."""


class Delivery:
    """Brings pictures to the store and input images from it."""

    def __init__(
        self, store: Store, encoder: SerialThread, clock: Clock, *, worker: str, slot: str, engine: str
    ) -> None:
        """``engine`` is the engine's version; results are reused where it and the model's revision are the same."""
        self._store = store
        self._encoder = encoder
        self._clock = clock
        self._worker = worker
        self._slot = slot
        self._engine = engine

    async def input_of(self, request: JobRequest) -> Image.Image | None:
        """The decoded input image of a job that has one.

        :raises UnusableJob: it is gone, or no image.
        :raises StoreUnavailable: the store stayed away.
        """
        key = request.input
        if key is None:
            return None
        try:
            data = await patiently(lambda: self._store.get(key), self._clock, STORE_FOR_SECONDS)
        except NotFound as error:
            raise UnusableJob("the input image is no longer there; send it again", param="image") from error
        return await self._encoder.run(lambda: _decoded(data))

    async def deliver(self, run: Run, held: Held, job: ClaimedJob, frames: Frames, done: Pass) -> bool:
        """Store one member's file and finish the job; False when it was not ours any more or could not be stored."""
        if not run.wants(job):
            return False
        try:
            key, size = await self._store_file(job, frames)
        except ModelpoolError as error:
            await run.fail(job, error)
            return False
        ran_ms = round((self._clock.monotonic() - run.claimed) * 1000)
        loads_ms = [(start + run.clock_offset_ms, end + run.clock_offset_ms) for start, end in held.loads_ms]
        # The slot may hold another revision than was asked for, while a new one is loaded slot by slot.
        made_from = job.request.model_copy(update={"revision": held.model.revision})
        result = JobResult(
            key=key,
            content_type=CONTENT_TYPES[job.request.format],
            size=size,
            width=frames.shape[2],
            height=frames.shape[1],
            seed=job.request.seed,
            frames=len(frames),
            model=job.request.model,
            batch_size=len(done.jobs),
            durations=durations_of(job, run.batch, loads_ms, ran_ms, round(done.seconds * 1000)),
            worker=self._worker,
            slot=self._slot,
            stored_at=self._clock.now_ms() + run.clock_offset_ms,
            made=made_from.digest(self._engine),
        )
        try:
            delivered = await run.finish(job, result)
        except Unavailable:
            return False  # it may have been delivered all the same: the file stays
        if not delivered:
            await self._discard(key)
        return delivered

    async def _store_file(self, job: ClaimedJob, frames: Frames) -> tuple[str, int]:
        key = new_key(job.request)
        try:
            data = await self._encoder.run(lambda: encode(frames, job.request))
        except (OSError, ValueError) as error:  # Pillow's and FFmpeg's own
            raise EngineError(f"the result could not be encoded: {type(error).__name__}") from error
        await patiently(lambda: self._store.put(key, data), self._clock, STORE_FOR_SECONDS)
        return key, len(data)

    async def _discard(self, key: str) -> None:
        with suppress(StoreUnavailable):  # the sweeper takes what is left
            await self._store.delete(key)


def _decoded(data: bytes) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(data))
        image.load()
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UnusableJob("the input image cannot be read", param="image") from error
    return image.convert("RGB")
