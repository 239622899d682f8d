"""An engine with given timings, for tests, benchmarks and pools without hardware. Behaves as the real one, in colours.

Words in a prompt make it fail: ``[fail]``, ``[unusable]``, ``[nan]``, ``[oom:N]`` (a batch of N or more runs out of
memory), ``[device]``.
"""

from __future__ import annotations

import re
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL.Image import Image

from modelpool.documents import CatalogModel
from modelpool.errors import DeviceFailed, EngineError, ModelLoadFailed, OutOfMemory, UnusableJob
from modelpool.jobs import JobRequest
from modelpool.work import steps_run
from modelpool_worker.engines.arguments import reason_unusable
from modelpool_worker.engines.protocol import DeviceInfo, Frames, Outcome, Progress, Resident, Step, Stopped
from modelpool_worker.timings import Timings

_ACCEPTED = frozenset({"image", "negative_prompt"})
_OOM = re.compile(r"\[oom:(\d+)\]")
_LOAD_PARTS = 4


class SimulatedEngine:
    """Waits instead of computing. ``sleep`` may be replaced."""

    mixes = False
    version = "simulated-1"

    def __init__(
        self, timings: Timings | None = None, sleep: Callable[[float], None] = time.sleep, *, cpu_id: str = "cpu"
    ) -> None:
        self.device = DeviceInfo("cpu", cpu_id)
        self.timings = timings or Timings()
        self.gate = threading.Event()
        """Clear it to hold every batch at its next step."""
        self.gate.set()
        self.batches: list[tuple[str, int]] = []
        """Model and size of every forward pass so far."""
        self._sleep = sleep
        self._hot_bytes: dict[str, int] = {}

    def load(self, model: CatalogModel, folder: Path, progress: Progress) -> Resident:
        """See :class:`modelpool_worker.engines.protocol.Engine`; no file is read."""
        if model.name in self.timings.fail_loads:
            raise ModelLoadFailed(f"{model.name!r} cannot be loaded: the simulation says so")
        for part in range(_LOAD_PARTS):
            self.pause(self.timings.load / _LOAD_PARTS)
            progress((part + 1) / _LOAD_PARTS)
        return SimulatedResident(self, model)

    def free_cache(self) -> None:
        """Nothing is cached."""

    def device_memory_used(self) -> int:
        """Weights of the hot models."""
        return sum(self._hot_bytes.values())

    def pause(self, seconds: float) -> None:
        """Take that long."""
        if seconds > 0:
            self._sleep(seconds)

    def account(self, model: str, size: int) -> None:
        """Say how much of the device a model takes now."""
        if size:
            self._hot_bytes[model] = size
        else:
            self._hot_bytes.pop(model, None)


class SimulatedResident:
    """One pretended model."""

    def __init__(self, engine: SimulatedEngine, model: CatalogModel) -> None:
        self.weights_bytes = model.weights_bytes
        self.activations_bytes: int | None = None
        self._engine = engine
        self._model = model.name

    def to_hot(self) -> None:
        """See :class:`modelpool_worker.engines.protocol.Resident`."""
        self._engine.pause(self._engine.timings.to_hot)
        self._engine.account(self._model, self.weights_bytes)

    def to_warm(self) -> None:
        """See :class:`modelpool_worker.engines.protocol.Resident`."""
        self._engine.pause(self._engine.timings.to_warm)
        self._engine.account(self._model, 0)

    def evict(self) -> None:
        """See :class:`modelpool_worker.engines.protocol.Resident`."""
        self._engine.account(self._model, 0)

    def generate(
        self,
        requests: Sequence[JobRequest],
        inputs: Sequence[Image | None],
        on_step: Callable[[Step], None],
        should_stop: Callable[[], bool],
    ) -> list[Outcome]:
        """See :class:`modelpool_worker.engines.protocol.Resident`."""
        self._engine.batches.append((self._model, len(requests)))
        _fail_as_told(requests)
        steps = steps_run(requests[0])
        for step in range(1, steps + 1):
            self._engine.pause(self._engine.timings.step_seconds(len(requests)))
            self._engine.gate.wait()
            on_step(Step(step, steps, lambda member: _picture(requests[member], 8, 8)))
            if should_stop():
                raise Stopped
        return [_outcome(request, image) for request, image in zip(requests, inputs, strict=True)]


def _fail_as_told(requests: Sequence[JobRequest]) -> None:
    prompts = " ".join(request.prompt for request in requests)
    if "[device]" in prompts:
        raise DeviceFailed("the device failed: the simulation says so")
    if "[fail]" in prompts:
        raise EngineError("the pipeline failed: the simulation says so")
    limits = [int(found) for found in _OOM.findall(prompts)]
    if limits and len(requests) >= min(limits):
        raise OutOfMemory("the device ran out of memory for this batch")


def _outcome(request: JobRequest, image: Image | None) -> Outcome:
    unusable = reason_unusable(request, image, _ACCEPTED)
    if unusable is not None:
        return unusable
    if "[unusable]" in request.prompt:
        return UnusableJob("no retry can help this job: the simulation says so")
    if "[nan]" in request.prompt:
        return EngineError("the model made no picture: its numbers overflowed")
    return _picture(request, request.width, request.height, request.frames)


def _picture(request: JobRequest, width: int, height: int, frames: int = 1) -> Frames:
    """One colour, given by seed and prompt; in a video it brightens."""
    mixed = zlib.crc32(f"{request.seed} {request.prompt} {request.negative_prompt}".encode())
    colour = np.array([64 + (mixed >> shift) % 128 for shift in (0, 8, 16)], np.uint8)
    light = np.arange(frames, dtype=np.uint8) % 63
    return np.broadcast_to(
        colour + light[:, None, None, None] + np.zeros((1, height, width, 1), np.uint8), (frames, height, width, 3)
    ).copy()
