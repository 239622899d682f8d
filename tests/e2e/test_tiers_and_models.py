"""Tiers grow and shrink, models come and go, and a model that cannot be loaded is nobody else's trouble."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from kubernetes import client

from cluster.kubectl import Object
from modelpool_local.exits import CommandFailed
from support.installation import CLAIM, Installation
from support.kube_api import KubeApi
from support.rota import SECONDARY, SLOTS, Rota, real_model, rota_pool, simulated_model, tier
from support.waiting import block_until

Record = Callable[[str, object], None]
MODELS = Path(__file__).parents[2] / "models"


def with_primary(slots: int) -> Object:
    """The pool with so many slots in its first tier."""
    pool = rota_pool()
    tier(pool, "primary")["slots"] = slots
    return pool


@pytest.mark.budget(45)
def test_a_tier_grows_and_shrinks_while_jobs_flow_and_the_others_run_on(rota: Rota) -> None:
    before = rota.lives()
    with rota.traffic("base") as visitors:
        rota.apply(with_primary(3))
        rota.until_served()
        grown = rota.lives()
        assert set(grown) - set(before) == {"rota-primary-2"}
        assert rota.slot("rota-primary-2")["hot"] == ["base"]
        visitors.flows()

        rota.apply(with_primary(1))
        rota.until("two pods have gone", lambda: len(rota.pods()) == len(SLOTS) - 1)
        rota.until_served()
        assert set(rota.lives().items()) == {one for one in before.items() if one[0] != "rota-primary-1"}
        visitors.flows()
    outcome = visitors.outcome()
    assert (outcome.lost, outcome.refused) == ([], [])


@pytest.mark.budget(30)
def test_a_model_that_is_added_serves_and_one_that_is_removed_is_refused(rota: Rota) -> None:
    before = rota.lives()
    more = rota_pool()
    tier(more, "secondary")["models"].append(simulated_model("blue"))
    rota.apply(more)
    rota.until("every replica offers the model", lambda: all(rota.offers("blue")))
    rota.made("blue")
    rota.until("its slot says so", lambda: rota.slot(SECONDARY)["hot"] == ["blue"])

    rota.apply(rota_pool())
    rota.until("no replica offers the model", lambda: not any(rota.offers("blue")))
    with pytest.raises(CommandFailed, match="blue"):
        rota.submit("blue")
    rota.until("no slot holds it", lambda: "blue" not in rota.slot(SECONDARY)["hot"])
    rota.made("red")
    rota.until_served()
    assert rota.lives() == before, "no worker was restarted for it"


def gallery() -> Object:
    """A pool with the real engine: one model that works, one whose folder is missing, one with broken weights, and one too large."""
    pool = rota_pool("gallery")
    models = [real_model("sound", "shapes-flat"), real_model("missing", "nowhere"), real_model("broken", "broken")]
    pool["spec"] |= {
        "default": False,
        "modelVolume": {"persistentVolumeClaim": {"claimName": CLAIM}},
        "tiers": [
            {"name": "wide", "policy": "Rotate", "slots": 1, "models": models},
            {
                "name": "narrow",
                "policy": "OnDemand",
                "slots": 1,
                "gpu": {"vram": "2Mi"},
                "models": [real_model("huge", "shapes-flat", size="1Mi")],
            },
        ],
        "worker": {"device": "cpu", "resources": {"limits": {"memory": "1Gi"}}},
    }
    return pool


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A sound model, and one whose weights were cut off on the way."""
    for name in ("shapes-flat", "broken"):
        shutil.copytree(MODELS / "shapes-flat", tmp_path / name)
    for weights in (tmp_path / "broken" / "unet").glob("*.safetensors"):
        weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    return tmp_path


def until_failed(pool: Rota, name: str, words: str) -> str:
    """What the status says is wrong with a model, once it holds these words."""

    def failed() -> bool:
        model = pool.model(name)
        return model.get("state") == "Failed" and words in model["lastFailure"]

    pool.until(f"the status of {name} says {words!r}", failed)
    return str(pool.model(name)["lastFailure"])


@pytest.mark.budget(90)
def test_models_that_cannot_be_loaded_say_why_are_tried_seldom_and_leave_the_others_alone(
    rota: Rota, models: Path, kube: client.ApiClient, shared: Installation, record_property: Record
) -> None:
    rota_before = rota.lives()
    shared.bring_models(models)
    pool = Rota(shared, KubeApi(kube), rota.url, "gallery")
    pool.apply(gallery())
    try:
        pool.until("its workers run and the sound model is hot", lambda: pool.model("sound").get("state") == "Hot")
        jobs = {name: pool.submit(f"gallery/{name}") for name in ("missing", "broken", "huge")}
        for name, words in {
            "missing": "there is no model folder /models/nowhere",
            "broken": "safetensors",
            "huge": "does not fit the slot's VRAM",
        }.items():
            record_property(name, until_failed(pool, name, words))
        assert pool.says("Degraded", "LoadFailed")
        pool.made("gallery/sound")
        rota.made("base")

        attempts = {name: len([e for e in pool.events() if f"load {name} " in e["note"]]) for name in jobs}
        record_property("attempts", attempts)
        assert all(count <= 3 for count in attempts.values()), (
            "ten seconds, twenty, forty: it is not tried all the time"
        )
        assert pool.lives().keys() == {"gallery-wide-0", "gallery-narrow-0"}
        assert all(restarts == 0 for _, restarts in pool.lives().values())
        assert rota.lives() == rota_before
    finally:
        shared.kubectl.delete("modelpool", "gallery", namespace=shared.namespace)
        block_until(lambda: not pool.pods(), 60, 0.2, "its pods are gone")
