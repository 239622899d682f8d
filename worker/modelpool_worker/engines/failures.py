"""What an exception out of torch or diffusers means for a job, a batch or the device.

The messages that leave here hold no text of a prompt: diffusers quotes prompts in some of its errors, and a batch
holds those of several users.
"""

from __future__ import annotations

import traceback
from typing import Final

import torch

from modelpool.errors import DeviceFailed, EngineError, ModelLoadFailed, OutOfMemory

_MEMORY_WORDS: Final = ("out of memory", "can't allocate memory", "not enough memory", "cannot allocate memory")
_DEVICE_WORDS: Final = ("cuda error", "cudnn error", "cublas error", "device-side assert", "unspecified launch failure")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether device or host had no memory left."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and _mentions(error, _MEMORY_WORDS)


def is_device_failure(error: BaseException) -> bool:
    """Whether the device is in an undefined state, so that only a new process helps."""
    if isinstance(error, torch.AcceleratorError):
        return True
    return isinstance(error, RuntimeError) and _mentions(error, _DEVICE_WORDS)


def run_failure(error: Exception) -> EngineError:
    """The error of a batch that failed with ``error``."""
    if isinstance(error, EngineError):
        return error
    if is_out_of_memory(error):
        _let_go(error)
        return OutOfMemory("the device ran out of memory for this batch")
    if is_device_failure(error):
        return DeviceFailed(f"the device failed: {type(error).__name__} {_where(error)}")
    return EngineError(f"the pipeline failed: {type(error).__name__} {_where(error)}")


def load_failure(error: Exception, name: str) -> EngineError:
    """The error of a model that could not be loaded because of ``error``."""
    if isinstance(error, EngineError):
        return error
    if is_out_of_memory(error):
        _let_go(error)
        return OutOfMemory(f"there is not enough memory to load {name!r}")
    if is_device_failure(error):
        return DeviceFailed(f"the device failed: {type(error).__name__} {_where(error)}")
    first_line = (str(error).splitlines() or [""])[0][:300]
    return ModelLoadFailed(f"{name!r} cannot be loaded: {type(error).__name__}: {first_line}")


def _let_go(error: BaseException) -> None:
    """Free what the failed call still holds through its frames, or freeing the cache would free nothing."""
    traceback.clear_frames(error.__traceback__)


def _mentions(error: BaseException, words: tuple[str, ...]) -> bool:
    text = str(error).lower()
    return any(word in text for word in words)


def _where(error: BaseException) -> str:
    """``in pipeline_x.py:123``: where it was raised, which names the cause without quoting any input."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return ""
    last = frames[-1]
    return f"in {last.filename.rpartition('/')[2]}:{last.lineno}"
