from __future__ import annotations

import weakref

import pytest
import torch

from modelpool.errors import DeviceFailed, EngineError, ModelLoadFailed, OutOfMemory, UnusableJob
from modelpool_worker.engines.failures import load_failure, run_failure


def raised(error: Exception) -> Exception:
    try:
        raise error
    except Exception as caught:
        return caught


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB"), OutOfMemory),
        (MemoryError(), OutOfMemory),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), OutOfMemory),
        (torch.AcceleratorError("CUDA error: device-side assert triggered"), DeviceFailed),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), DeviceFailed),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR"), DeviceFailed),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), EngineError),
        (ValueError("anything"), EngineError),
        (UnusableJob("no"), UnusableJob),
    ],
)
def test_an_exception_is_told_as_what_it_means(error: Exception, expected: type[EngineError]) -> None:
    assert type(run_failure(raised(error))) is expected


def test_a_failed_batch_never_quotes_a_prompt() -> None:
    message = run_failure(raised(ValueError("`negative_prompt`: a secret has batch size 1"))).message
    assert "secret" not in message
    assert "ValueError in test_failures.py:" in message


def test_a_failed_load_says_why() -> None:
    error = load_failure(raised(OSError("no file named config.json\nand more")), "flat")
    assert type(error) is ModelLoadFailed
    assert error.message == "'flat' cannot be loaded: OSError: no file named config.json"


def test_what_ran_out_of_memory_holds_none_any_more() -> None:
    seen: list[weakref.ref[torch.Tensor]] = []

    def fail() -> None:
        large = torch.zeros(8)
        seen.append(weakref.ref(large))
        raise MemoryError

    def call() -> None:
        try:
            fail()
        except MemoryError as error:
            raise run_failure(error) from error

    with pytest.raises(OutOfMemory):
        call()
    assert seen[0]() is None


def test_memory_that_runs_out_in_a_load_is_no_broken_model() -> None:
    assert type(load_failure(raised(MemoryError()), "flat")) is OutOfMemory
