"""What a worker needs of an engine. Everything here blocks: the worker calls it from threads of its own.

``load`` and the moves between warm and hot run in the loader thread, ``generate`` and ``free_cache`` in the engine
thread; the worker never moves a resident that is generating.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from modelpool.documents import CatalogModel
from modelpool.errors import EngineError
from modelpool.jobs import JobRequest

Frames: TypeAlias = NDArray[np.uint8]
"""One picture or video: (frames, height, width, 3), RGB."""

Outcome: TypeAlias = Frames | EngineError
"""What became of one member of a batch."""

Progress: TypeAlias = Callable[[float], None]
"""Told how far a load is, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the whole batch is done. ``preview`` makes a small picture of one member, while the callback runs."""

    step: int
    steps: int
    preview: Callable[[int], Frames] | None = None


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """What an engine computes on."""

    kind: str
    """``cpu`` or ``cuda``."""
    uuid: str
    """Of the GPU. Where there is none: the id that a device plugin gave to the pod, else ``cpu``."""


class Stopped(Exception):
    """No error: ``generate`` ended early because ``should_stop`` said so; nothing was made."""


class Resident(Protocol):
    """One loaded model: warm (host RAM) after ``load``, hot (ready to generate) after ``to_hot``."""

    weights_bytes: int
    """Measured."""
    activations_bytes: int | None
    """The most that a batch has needed beside the weights; None until measured."""

    def to_hot(self) -> None:
        """Ready to generate when this returns.

        :raises OutOfMemory: it does not fit the device.
        """
        ...

    def to_warm(self) -> None:
        """Off the device, kept in host RAM; the device's memory is free when this returns."""
        ...

    def evict(self) -> None:
        """Gone from device and host; not to be used again."""
        ...

    def generate(
        self,
        requests: Sequence[JobRequest],
        inputs: Sequence[Image | None],
        on_step: Callable[[Step], None],
        should_stop: Callable[[], bool],
    ) -> list[Outcome]:
        """One outcome a request, in order. The requests share shape and parameter key; seeds are their own.

        :raises Stopped: ``should_stop`` returned true at the end of a step.
        :raises OutOfMemory: too large a batch.
        :raises DeviceFailed: the device cannot be used any more.
        :raises EngineError: the whole batch failed; UnusableJob when no retry can mend it.
        """
        ...


class Engine(Protocol):
    """Loads models on one device."""

    version: str
    """What a picture's bytes depend on beside its request."""
    mixes: bool
    """Whether jobs of different parameter keys may share a batch."""
    device: DeviceInfo

    def load(self, model: CatalogModel, folder: Path, progress: Progress) -> Resident:
        """Read a model from disk into host RAM.

        :raises ModelLoadFailed: missing, corrupt or refused files, or a pipeline that is not known.
        :raises OutOfMemory: it does not fit the host.
        """
        ...

    def free_cache(self) -> None:
        """Give memory back that is kept for later."""
        ...

    def device_memory_used(self) -> int:
        """Bytes in use on the device; 0 without one."""
        ...
