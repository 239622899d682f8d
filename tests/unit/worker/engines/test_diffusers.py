"""What the real engine does beyond the contract."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import weakref
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from PIL import Image

from modelpool.errors import EngineError, ModelLoadFailed, OutOfMemory, UnusableJob
from modelpool.jobs import JobRequest
from modelpool.resources.models import Task
from modelpool_worker.engines.diffusers import DiffusersEngine, DiffusersResident
from support.pipelines import SIZE
from support.worker import model


@pytest.fixture(scope="module")
def engine() -> DiffusersEngine:
    return DiffusersEngine("cpu")


@pytest.fixture
def resident(engine: DiffusersEngine, picture_model: Path) -> Iterator[DiffusersResident]:
    loaded = engine.load(model("pictures"), picture_model, lambda share: None)
    assert isinstance(loaded, DiffusersResident)
    loaded.to_hot()
    yield loaded
    loaded.evict()


def ask(seed: int = 1, **changes: object) -> JobRequest:
    fields: dict[str, object] = {
        "model": "pictures", "revision": "1", "task": Task.TEXT_TO_IMAGE, "prompt": "red", "width": SIZE,
        "height": SIZE, "steps": 2, "guidance": 3.0, "seed": seed,
    }  # fmt: skip
    return JobRequest.model_validate(fields | changes)


def run(resident: DiffusersResident, request: JobRequest, image: Image.Image | None = None) -> object:
    [outcome] = resident.generate([request], [image], lambda step: None, lambda: False)
    return outcome


@pytest.mark.slow
def test_remote_code_and_the_network_are_off() -> None:
    # In a process of its own: these switches are read when the libraries are imported, which pytest has long done.
    program = (
        "import modelpool_worker, diffusers.utils.constants as d, huggingface_hub.constants as h;"
        "print(d.DIFFUSERS_DISABLE_REMOTE_CODE, h.HF_HUB_OFFLINE)"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    assert shown.stdout.split() == ["True", "True"]


def test_progress_of_a_load_grows_to_one(engine: DiffusersEngine, picture_model: Path) -> None:
    told: list[float] = []
    engine.load(model("pictures"), picture_model, told.append).evict()
    assert told == sorted(told)
    assert told[-1] == 1


@pytest.mark.parametrize(
    "harm",
    [
        lambda folder: (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink(),
        lambda folder: (folder / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"\0" * 64),
        lambda folder: (folder / "model_index.json").write_text("no json"),
        lambda folder: (folder / "model_index.json").write_text('{"_class_name": "NoSuchPipeline"}'),
        lambda folder: shutil.rmtree(folder / "vae"),
        lambda folder: (folder / "unet" / "model.py").touch(),
    ],
    ids=["weights missing", "weights corrupt", "index corrupt", "unknown pipeline", "component missing", "code"],
)
def test_a_broken_folder_is_a_failed_load(
    engine: DiffusersEngine, picture_model: Path, tmp_path: Path, harm: object
) -> None:
    assert callable(harm)
    folder = tmp_path / "broken"
    shutil.copytree(picture_model, folder)
    harm(folder)
    with pytest.raises(ModelLoadFailed):
        engine.load(model("broken"), folder, lambda share: None)


def test_weights_in_shards_are_loaded_and_a_missing_shard_is_named(
    engine: DiffusersEngine, picture_model: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "sharded"
    whole = DiffusionPipeline.from_pretrained(str(picture_model), use_safetensors=True, local_files_only=True)
    whole.save_pretrained(folder, max_shard_size="40KB")
    shards = sorted((folder / "unet").glob("*-of-*.safetensors"))
    assert len(shards) > 1
    loaded = engine.load(model("sharded"), folder, lambda share: None)
    original = engine.load(model("pictures"), picture_model, lambda share: None)
    assert isinstance(loaded, DiffusersResident)
    assert isinstance(original, DiffusersResident)
    np.testing.assert_array_equal(run(loaded, ask()), run(original, ask()))
    shards[-1].unlink()
    with pytest.raises(ModelLoadFailed, match=shards[-1].name):
        engine.load(model("sharded"), folder, lambda share: None)


def test_an_image_can_be_the_start(resident: DiffusersResident) -> None:
    image = Image.effect_noise((SIZE, SIZE), 80).convert("RGB")
    request = ask(task=Task.IMAGE_TO_IMAGE, strength=0.5, steps=4)
    steps: list[tuple[int, int]] = []
    outcomes = resident.generate(
        [request, request.model_copy(update={"seed": 2})],
        [image, image],
        lambda step: steps.append((step.step, step.steps)),
        lambda: False,
    )
    assert [outcome.shape for outcome in outcomes if isinstance(outcome, np.ndarray)] == [(1, SIZE, SIZE, 3)] * 2
    assert steps == [(1, 2), (2, 2)]


def test_the_views_of_a_model_share_its_weights(resident: DiffusersResident) -> None:
    before = resident.weights_bytes
    run(resident, ask(task=Task.IMAGE_TO_IMAGE, strength=1.0), Image.new("RGB", (SIZE, SIZE)))
    views = list(resident._views.values())
    assert views[0].unet is resident._pipeline.unet
    assert resident.weights_bytes == before


def test_another_scheduler_counts_for_its_batch_only(resident: DiffusersResident) -> None:
    plain = run(resident, ask())
    other = run(resident, ask(scheduler="DDPMScheduler"))
    assert isinstance(plain, np.ndarray)
    assert isinstance(other, np.ndarray)
    assert (plain != other).any()
    again = run(resident, ask())
    assert isinstance(again, np.ndarray)
    assert (plain == again).all()


def test_an_unknown_scheduler_is_the_jobs_fault(resident: DiffusersResident) -> None:
    with pytest.raises(UnusableJob, match="scheduler"):
        run(resident, ask(scheduler="os"))


@pytest.mark.parametrize(("value", "reason"), [(float("nan"), "overflowed"), (-1e9, "black")])
def test_a_picture_of_nothing_is_an_error(resident: DiffusersResident, value: float, reason: str) -> None:
    decoder = resident._pipeline.vae.decoder.conv_out
    with torch.no_grad():
        decoder.bias.fill_(value)
    outcome = run(resident, ask())
    assert isinstance(outcome, EngineError)
    assert reason in outcome.message


def test_memory_that_runs_out_is_told_as_such(resident: DiffusersResident, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(resident._pipeline.unet, "forward", fail)
    with pytest.raises(OutOfMemory):
        run(resident, ask())


def test_a_decoder_that_fails_leaves_its_precision_as_it_was(
    resident: DiffusersResident, monkeypatch: pytest.MonkeyPatch
) -> None:
    vae = resident._pipeline.vae

    def fail(*_: object, **__: object) -> None:
        vae.to(dtype=torch.float64)  # as pipelines raise half precision to decode
        raise torch.OutOfMemoryError("CUDA out of memory")

    with monkeypatch.context() as patched:
        patched.setattr(vae, "decode", fail)
        with pytest.raises(OutOfMemory):
            run(resident, ask())
    assert vae.dtype == torch.float32
    assert isinstance(run(resident, ask()), np.ndarray)


def test_evicting_gives_memory_back(engine: DiffusersEngine, picture_model: Path) -> None:
    loaded = engine.load(model("pictures"), picture_model, lambda share: None)
    assert isinstance(loaded, DiffusersResident)
    unet = weakref.ref(loaded._pipeline.unet)
    loaded.evict()
    assert unet() is None


def test_a_move_that_fails_half_way_leaves_the_whole_pipeline_in_host_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        """Fits no device."""

        def __init__(self) -> None:
            self.components: dict[str, object] = {}
            self.moves: list[str] = []

        def to(self, device: torch.device, **_: object) -> None:
            self.moves.append(device.type)
            if device.type == "cuda":
                raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch.cuda, "Stream", MagicMock())
    monkeypatch.setattr(torch.cuda, "stream", nullcontext)
    pipeline = Full()
    with pytest.raises(OutOfMemory):
        DiffusersResident(pipeline, torch.device("cuda")).to_hot()
    assert pipeline.moves == ["cuda", "cpu"]
