"""The real engine: stock diffusers pipelines, on CUDA or CPU.

A model is warm as a pipeline whose modules are in host RAM, and hot when they are on the device. On a CPU both are the
same memory, told apart for accounting only.
"""

from __future__ import annotations

import gc
import inspect
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
import transformers
from diffusers import AutoPipelineForImage2Image, DiffusionPipeline
from numpy.typing import NDArray
from PIL.Image import Image

import modelpool
from modelpool.documents import CatalogModel
from modelpool.errors import DeviceFailed, EngineError, UnusableJob
from modelpool.jobs import JobRequest
from modelpool.resources.models import Task
from modelpool_worker.engines.arguments import (
    call_arguments,
    mixes_empty_negatives,
    prompt_arguments,
    reason_unusable,
)
from modelpool_worker.engines.failures import load_failure, run_failure
from modelpool_worker.engines.files import require_loadable
from modelpool_worker.engines.previews import LatentColours
from modelpool_worker.engines.protocol import DeviceInfo, Frames, Outcome, Progress, Resident, Step, Stopped
from modelpool_worker.engines.tracking import Tracker
from modelpool_worker.engines.weights import variant_of

_EMBEDDINGS = ("prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds")


class DiffusersEngine:
    """Loads pipeline folders with ``DiffusionPipeline.from_pretrained``: local files, safetensors, no remote code."""

    mixes = False

    def __init__(self, device: str, cpu_id: str = "cpu") -> None:
        """``device`` is ``cpu``, which is reported as ``cpu_id``, or ``cuda``, which is reported by its UUID.

        :raises DeviceFailed: CUDA without exactly one visible device.
        """
        # Their bars would fill the log; the keeper tells how a load gets on.
        diffusers.logging.disable_progress_bar()
        transformers.logging.disable_progress_bar()
        self.device = _describe(device, cpu_id)
        parts = (modelpool, diffusers, transformers, torch)
        self.version = "+".join([*(f"{part.__name__}-{part.__version__}" for part in parts), device])
        self._torch_device = torch.device(device)

    def load(self, model: CatalogModel, folder: Path, progress: Progress) -> Resident:
        """See :class:`modelpool_worker.engines.protocol.Engine`."""
        require_loadable(folder)
        progress(0.05)
        try:
            pipeline = DiffusionPipeline.from_pretrained(
                str(folder),
                use_safetensors=True,
                local_files_only=True,
                variant=variant_of(folder),
                dtype=self._dtype(folder),
            )
        except Exception as error:
            raise load_failure(error, model.name) from error
        pipeline.set_progress_bar_config(disable=True)
        progress(1.0)
        return DiffusersResident(pipeline, self._torch_device)

    def free_cache(self) -> None:
        """See :class:`modelpool_worker.engines.protocol.Engine`."""
        _free(self._torch_device)

    def device_memory_used(self) -> int:
        """See :class:`modelpool_worker.engines.protocol.Engine`."""
        return torch.cuda.memory_reserved() if self.device.kind == "cuda" else 0

    def _dtype(self, folder: Path) -> torch.dtype:
        """Half precision on a GPU. Transformers overflow in float16, U-Nets lose detail in bfloat16."""
        if self.device.kind == "cpu":
            return torch.float32
        return torch.bfloat16 if (folder / "transformer").is_dir() else torch.float16


class DiffusersResident:
    """One pipeline, and its views for other tasks that share its modules."""

    def __init__(self, pipeline: Any, device: torch.device) -> None:
        self.weights_bytes = _weights_bytes(pipeline)
        self.activations_bytes: int | None = None
        self._device = device
        self._pipeline = pipeline
        self._views: dict[Task, Any] = {}
        self._colours = LatentColours()

    def to_hot(self) -> None:
        """See :class:`modelpool_worker.engines.protocol.Resident`."""
        self._move(self._device)

    def to_warm(self) -> None:
        """See :class:`modelpool_worker.engines.protocol.Resident`."""
        self._move(torch.device("cpu"))
        _free(self._device)

    def evict(self) -> None:
        """See :class:`modelpool_worker.engines.protocol.Resident`."""
        self._views.clear()
        self._pipeline = None
        _free(self._device)

    def generate(
        self,
        requests: Sequence[JobRequest],
        inputs: Sequence[Image | None],
        on_step: Callable[[Step], None],
        should_stop: Callable[[], bool],
    ) -> list[Outcome]:
        """See :class:`modelpool_worker.engines.protocol.Resident`."""
        pipeline = self._view(requests[0])
        accepted = frozenset(inspect.signature(pipeline.__call__).parameters)
        outcomes: list[Outcome | None] = [
            reason_unusable(request, image, accepted) for request, image in zip(requests, inputs, strict=True)
        ]
        members = [index for index, outcome in enumerate(outcomes) if outcome is None]
        if members:
            usable, images = [requests[index] for index in members], [inputs[index] for index in members]
            tracker = Tracker(members, self._colours, on_step, should_stop)
            made = self._run(pipeline, usable, images, accepted, tracker)
            for index, outcome in zip(members, made, strict=True):
                outcomes[index] = outcome
        return [outcome for outcome in outcomes if outcome is not None]

    def _run(
        self,
        pipeline: Any,
        requests: Sequence[JobRequest],
        images: Sequence[Image | None],
        accepted: frozenset[str],
        tracker: Tracker,
    ) -> list[Outcome]:
        original, precision = pipeline.scheduler, _vae_precision(pipeline)
        before = self._start_measuring()
        try:
            pipeline.scheduler = _scheduler(pipeline, requests[0].scheduler)
            arguments = call_arguments(requests, images, accepted) | _prompts(pipeline, requests, accepted)
            arguments["generator"] = [torch.Generator("cpu").manual_seed(request.seed) for request in requests]
            if "callback_on_step_end" in accepted:
                arguments["callback_on_step_end"] = tracker
            output = pipeline(**arguments)
        except Stopped:
            raise
        except Exception as error:
            raise run_failure(error) from error
        finally:
            pipeline.scheduler = original
            # Pipelines raise a half precision VAE for decoding, and leave it so when decoding fails.
            if precision is not None and _vae_precision(pipeline) != precision:
                pipeline.vae.to(dtype=precision)
        self._measure(before)
        outcomes = _outcomes(output)
        self._learn_colours(tracker, outcomes)
        return outcomes

    def _view(self, request: JobRequest) -> Any:
        if request.task is not Task.IMAGE_TO_IMAGE:
            return self._pipeline
        if request.task not in self._views:
            try:
                view = AutoPipelineForImage2Image.from_pipe(self._pipeline)
            except ValueError as error:
                raise UnusableJob(f"the model {request.model!r} cannot start from an image", param="model") from error
            view.set_progress_bar_config(disable=True)
            self._views[request.task] = view
        return self._views[request.task]

    def _move(self, device: torch.device) -> None:
        if self._device.type == "cpu":
            return
        try:
            self._copy(device)
        except Exception as error:
            failure = run_failure(error)
            with suppress(Exception):  # a device that is lost: the first failure is the one to tell
                if device.type != "cpu":
                    self._copy(torch.device("cpu"))  # a pipeline split between both could not be used again
                _free(self._device)
            raise failure from error

    def _copy(self, device: torch.device) -> None:
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            self._pipeline.to(device, silence_dtype_warnings=True)
        stream.synchronize()  # the engine thread uses another stream: hand over finished tensors only

    def _start_measuring(self) -> int | None:
        if self._device.type == "cpu":
            return None
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()

    def _measure(self, before: int | None) -> None:
        if before is not None:
            needed = torch.cuda.max_memory_allocated() - before
            self.activations_bytes = max(needed, self.activations_bytes or 0)

    def _learn_colours(self, tracker: Tracker, outcomes: list[Outcome]) -> None:
        latents = tracker.last_latents(0)
        if self._colours.known or latents is None or isinstance(outcomes[0], EngineError):
            return
        self._colours.learn(latents, outcomes[0][len(outcomes[0]) // 2])


def _describe(device: str, cpu_id: str) -> DeviceInfo:
    if device == "cpu":
        return DeviceInfo("cpu", cpu_id)
    visible = torch.cuda.device_count()
    if visible != 1:
        raise DeviceFailed(
            f"a worker needs exactly one visible CUDA device, not {visible}; check the slot's GPU limits"
        )
    return DeviceInfo("cuda", f"GPU-{torch.cuda.get_device_properties(0).uuid}")


def _free(device: torch.device) -> None:
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def _weights_bytes(pipeline: Any) -> int:
    """Bytes of all parameters and buffers, each storage once: components may be shared."""
    storages: dict[int, int] = {}
    for component in pipeline.components.values():
        if isinstance(component, torch.nn.Module):
            for tensor in (*component.parameters(), *component.buffers()):
                storage = tensor.untyped_storage()
                storages[storage.data_ptr()] = storage.nbytes()
    return sum(storages.values())


def _vae_precision(pipeline: Any) -> torch.dtype | None:
    precision: torch.dtype | None = getattr(getattr(pipeline, "vae", None), "dtype", None)
    return precision


def _scheduler(pipeline: Any, name: str | None) -> Any:
    """The pipeline's own scheduler, or a compatible one of this class name with the same configuration."""
    if name is None:
        return pipeline.scheduler
    for kind in pipeline.scheduler.compatibles:
        if kind.__name__ == name:
            return kind.from_config(pipeline.scheduler.config)
    raise UnusableJob(f"the scheduler {name!r} does not work with this model", param="scheduler")


def _prompts(pipeline: Any, requests: Sequence[JobRequest], accepted: frozenset[str]) -> dict[str, Any]:
    """Prompts as texts, or as embeddings where texts would make a picture depend on its company.

    SDXL takes zeros instead of an embedded empty negative prompt, but only when the whole batch has none.
    """
    texts = prompt_arguments(requests, accepted)
    zeroes = bool(getattr(pipeline.config, "force_zeros_for_empty_prompt", False))
    if not zeroes or requests[0].guidance <= 1 or not mixes_empty_negatives(requests):
        return texts
    with torch.no_grad():
        embeddings = pipeline.encode_prompt(**texts, num_images_per_prompt=1, do_classifier_free_guidance=True)
    for position, request in enumerate(requests):
        if not request.negative_prompt:
            embeddings[1][position] = 0
            embeddings[3][position] = 0
    return dict(zip(_EMBEDDINGS, embeddings, strict=True))


def _outcomes(output: Any) -> list[Outcome]:
    """Eight-bit frames of each member, or why they cannot be delivered."""
    values = output.frames if hasattr(output, "frames") else output.images[:, None]
    flagged = getattr(output, "nsfw_content_detected", None) or [False] * len(values)
    return [_frames(member, bool(flag)) for member, flag in zip(values, flagged, strict=True)]


def _frames(values: NDArray[np.float32], flagged: bool) -> Outcome:
    if flagged:
        return UnusableJob("the model's safety checker withheld the picture", param="prompt")
    if not np.isfinite(values).all():
        return EngineError("the model made no picture: its numbers overflowed")
    frames: Frames = (values * 255).round().astype(np.uint8)
    if not frames.any():
        return EngineError("the model made an entirely black picture")
    return frames
