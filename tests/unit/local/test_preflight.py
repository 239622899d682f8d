import json
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from modelpool.resources.load import load_pool
from modelpool.resources.models import Source
from modelpool.resources.spec import Device, ModelPool
from modelpool_local import preflight
from modelpool_local.exits import CommandFailed, Exit

EXAMPLES = Path(__file__).parents[3] / "examples"
GIB = 2**30


@pytest.fixture
def studio() -> ModelPool:
    return load_pool(EXAMPLES / "studio.yaml")


def refusal(check: Callable[[], object]) -> tuple[Exit, str]:
    with pytest.raises(CommandFailed) as caught:
        check()
    assert "\n" not in caught.value.message
    return caught.value.code, caught.value.message


def make_models(pool: ModelPool, folder: Path) -> None:
    for tier in pool.spec.tiers:
        for model in tier.models:
            (folder / model.name).mkdir()
            (folder / model.name / "model_index.json").write_text("{}")


def test_broken_yaml_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "pool.yaml"
    file.write_text("kind: ModelPool\n  spec: [")
    code, line = refusal(lambda: preflight.read_pool(file))
    assert code is Exit.INVALID_SPEC
    assert f"{file}:2" in line


def test_a_pool_that_cannot_work_is_refused_with_the_field(tmp_path: Path) -> None:
    file = tmp_path / "pool.yaml"
    file.write_text((EXAMPLES / "small.yaml").read_text().replace("vram: 40Mi", "vram: 1Mi"))
    code, line = refusal(lambda: preflight.read_pool(file))
    assert code is Exit.INVALID_SPEC
    assert "spec.tiers[0]" in line


def test_complete_model_folders_pass(studio: ModelPool, tmp_path: Path) -> None:
    make_models(studio, tmp_path)
    preflight.check_models(studio, tmp_path)


def test_a_missing_model_is_named_with_its_path_and_the_cure(studio: ModelPool, tmp_path: Path) -> None:
    make_models(studio, tmp_path)
    (tmp_path / "shapes-neon" / "model_index.json").unlink()
    (tmp_path / "shapes-neon").rmdir()
    code, line = refusal(lambda: preflight.check_models(studio, tmp_path))
    assert code is Exit.MODEL_MISSING
    assert f"{tmp_path / 'shapes-neon'} does not exist" in line
    assert "--models DIR" in line


def test_a_folder_that_is_no_pipeline_is_refused(studio: ModelPool, tmp_path: Path) -> None:
    make_models(studio, tmp_path)
    (tmp_path / "shapes-neon" / "model_index.json").unlink()
    code, line = refusal(lambda: preflight.check_models(studio, tmp_path))
    assert code is Exit.MODEL_MISSING
    assert "has no model_index.json" in line


INDEX = {
    "_class_name": "StableDiffusionXLPipeline",
    "force_zeros_for_empty_prompt": False,
    "feature_extractor": ["transformers", "CLIPImageProcessor"],
    "scheduler": ["diffusers", "DDIMScheduler"],
    "text_encoder": [None, None],
    "tokenizer": ["transformers", "CLIPTokenizerFast"],
    "unet": ["diffusers", "UNet2DConditionModel"],
}


def test_only_components_with_weights_must_have_them(studio: ModelPool, tmp_path: Path) -> None:
    make_models(studio, tmp_path)
    model = tmp_path / "shapes-neon"
    (model / "model_index.json").write_text(json.dumps(INDEX))
    (model / "unet").mkdir()
    (model / "unet" / "config.json").write_text("{}")
    code, line = refusal(lambda: preflight.check_models(studio, tmp_path))
    assert code is Exit.MODEL_MISSING
    assert f"model shapes-neon: the folder {model} lacks the weights of its unet" in line
    save_file({"a": np.zeros(9, np.float32)}, model / "unet" / "diffusion_pytorch_model.fp16.safetensors")
    preflight.check_models(studio, tmp_path)


def test_weights_that_were_cut_short_are_named(studio: ModelPool, tmp_path: Path) -> None:
    make_models(studio, tmp_path)
    model = tmp_path / "shapes-neon"
    (model / "model_index.json").write_text(json.dumps(INDEX))
    (model / "unet").mkdir()
    weights = model / "unet" / "diffusion_pytorch_model.safetensors"
    save_file({"a": np.zeros(9999, np.float32)}, weights)
    weights.write_bytes(weights.read_bytes()[:1000])
    code, line = refusal(lambda: preflight.check_models(studio, tmp_path))
    assert code is Exit.MODEL_MISSING
    assert f"model shapes-neon: the folder {model} has unet/{weights.name}, which cannot be read: " in line


def test_a_missing_shard_of_a_models_weights_is_named(studio: ModelPool, tmp_path: Path) -> None:
    make_models(studio, tmp_path)
    model = tmp_path / "shapes-neon"
    (model / "model_index.json").write_text(json.dumps(INDEX))
    (model / "unet").mkdir()
    (model / "unet" / "x.safetensors.index.json").write_text('{"weight_map": {"a": "x-1.safetensors"}}')
    code, line = refusal(lambda: preflight.check_models(studio, tmp_path))
    assert code is Exit.MODEL_MISSING
    assert f"model shapes-neon: the folder {model} lacks unet/x-1.safetensors" in line


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_broken_index_is_refused(studio: ModelPool, tmp_path: Path, text: str) -> None:
    make_models(studio, tmp_path)
    (tmp_path / "shapes-neon" / "model_index.json").write_text(text)
    code, line = refusal(lambda: preflight.check_models(studio, tmp_path))
    assert code is Exit.MODEL_MISSING
    assert "has a model_index.json that" in line


@pytest.mark.parametrize("text", ["keys: [", "keys: [{name: a, key: short}]", "- a"])
def test_a_broken_keys_file_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "keys.yaml"
    file.write_text(text)
    code, line = refusal(lambda: preflight.check_api_keys(file))
    assert code is Exit.USAGE
    assert str(file) in line


def test_a_missing_keys_file_is_refused_and_a_good_one_passes(tmp_path: Path) -> None:
    file = tmp_path / "keys.yaml"
    assert refusal(lambda: preflight.check_api_keys(file))[0] is Exit.USAGE
    file.write_text("keys: [{name: studio, key: 0123456789abcdef}]")
    preflight.check_api_keys(file)


def test_an_admission_document_that_cannot_work_is_refused_and_a_good_one_passes(tmp_path: Path) -> None:
    file = tmp_path / "admission.yaml"
    code, line = refusal(lambda: preflight.check_admission(str(file)))
    assert (code, line.startswith("--admission: ")) == (Exit.USAGE, True)
    file.write_text("anonymous: {cookies: 50}")
    assert "anonymous.cookies" in refusal(lambda: preflight.check_admission(str(file)))[1]
    file.write_text("profile: public")
    for source in (str(file), "public", "local"):
        preflight.check_admission(source)


def test_a_key_whose_plan_the_admission_document_lacks_is_refused(tmp_path: Path) -> None:
    file, admission = tmp_path / "keys.yaml", tmp_path / "admission.yaml"
    file.write_text("keys: [{name: studio, key: 0123456789abcdef, plan: gold}]")
    admission.write_text("plans: {account: {perDay: 1}, gold: {lane: paid, perDay: 9}}")
    assert "'gold'" in refusal(lambda: preflight.check_api_keys(file))[1]
    preflight.check_api_keys(file, str(admission))


@pytest.mark.parametrize("url", ["gs://bucket", "s3://", "memory://", "file:///dev/null/results"])
def test_a_store_that_cannot_be_is_refused(url: str) -> None:
    code, line = refusal(lambda: preflight.check_store(url))
    assert code is Exit.USAGE
    assert line.startswith("--store: ")


def test_a_folder_and_a_bucket_are_stores(tmp_path: Path) -> None:
    preflight.check_store((tmp_path / "results").as_uri())
    preflight.check_store("s3://bucket/prefix?region=eu-central-1")


def test_a_model_from_a_bucket_need_not_be_here(studio: ModelPool, tmp_path: Path) -> None:
    tier = studio.spec.tiers[0]
    remote = tier.models[0].model_copy(update={"source": Source(uri="s3://bucket/model.tar", sha256="0" * 64)})
    spec = studio.spec.model_copy(update={"tiers": (tier.model_copy(update={"models": (remote,)}),)})
    preflight.check_models(studio.model_copy(update={"spec": spec}), tmp_path)


@pytest.mark.parametrize("text", ["load=x", "load", "speed=1"])
def test_timings_that_cannot_be_read_are_refused(text: str) -> None:
    code, line = refusal(lambda: preflight.check_timings(text))
    assert code is Exit.USAGE
    assert line.startswith(f"--simulated {text}: ")


def test_timings_that_can_be_read_pass() -> None:
    preflight.check_timings("")
    preflight.check_timings("load=0.5,step=0.05")


def test_too_little_memory_says_what_is_needed_and_what_there_is(studio: ModelPool) -> None:
    code, line = refusal(lambda: preflight.check_memory(studio, GIB))
    assert code is Exit.TOO_LITTLE_MEMORY
    assert "needs about" in line
    assert "1Gi is available" in line
    assert "lower tiers[].slots" in line


def test_the_studio_fits_into_eight_gibibytes(studio: ModelPool) -> None:
    preflight.check_memory(studio, 8 * GIB)


def test_fewer_gpus_than_slots_is_refused(studio: ModelPool) -> None:
    on_gpus = studio.model_copy(
        update={
            "spec": studio.spec.model_copy(
                update={"worker": studio.spec.worker.model_copy(update={"device": Device.CUDA})}
            )
        }
    )
    code, line = refusal(lambda: preflight.check_gpus(on_gpus, 2))
    assert code is Exit.TOO_FEW_GPUS
    assert "7 slots and this machine 2 GPUs" in line


def test_a_pool_on_the_cpu_needs_no_gpu(studio: ModelPool) -> None:
    preflight.check_gpus(studio, 0)


def test_a_taken_port_names_the_option() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port: int = holder.getsockname()[1]
        code, line = refusal(lambda: preflight.check_port("127.0.0.1", port))
    assert code is Exit.PORT_TAKEN
    assert line == f"port {port} on 127.0.0.1 is taken; choose another with --port"


@pytest.mark.parametrize("host", ["192.0.2.1", "é..b"])
def test_an_address_that_is_not_ours_is_refused(host: str) -> None:
    code, line = refusal(lambda: preflight.check_port(host, 0))
    assert code is Exit.PORT_TAKEN
    assert "--host" in line
