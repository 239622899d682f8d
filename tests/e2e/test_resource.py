"""A ModelPool as the API server takes it: what cannot work is refused in our words, what can work comes back the same."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client

from modelpool.resources.load import load_pool, parse_pool
from modelpool.resources.spec import ModelPool, ModelPoolSpec
from modelpool.resources.status import Condition, CostStatus, GpuStatus, ModelPoolStatus, ModelState, ModelStatus
from modelpool.slots import SlotPhase
from modelpool_operator.crd.definition import COLUMNS
from support.kube_api import KubeApi, Refused
from support.pool_examples import CONTRADICTIONS, FULL, MINIMAL, MISTAKES, TEXT, Contradiction, Mistake, a_pool

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))


class Pools:
    """ModelPools of the namespace ``default``."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api
        self._path = "/apis/modelpool.dev/v1alpha1/namespaces/default/modelpools"

    def tried(self, pool: Any) -> dict[str, Any]:
        """What the API server would keep, as after `kubectl apply --dry-run=server`."""
        return self._api.call("POST", self._path, pool, dryRun="All", fieldValidation="Strict")

    def refusal(self, pool: Any) -> str:
        with pytest.raises(Refused) as refused:
            self.tried(pool)
        assert refused.value.status in (400, 422)
        return str(refused.value)

    def created(self, pool: Any) -> dict[str, Any]:
        return self._api.call("POST", self._path, pool, fieldValidation="Strict")

    def read(self, name: str) -> dict[str, Any]:
        return self._api.call("GET", f"{self._path}/{name}")

    def table(self, name: str) -> dict[str, Any]:
        """What ``kubectl get`` prints."""
        return self._api.call("GET", f"{self._path}/{name}", accept="application/json;as=Table;v=v1;g=meta.k8s.io")

    def report(self, name: str, status: ModelPoolStatus) -> None:
        body = {"status": status.model_dump(mode="json", by_alias=True, exclude_none=True)}
        self._api.call("PATCH", f"{self._path}/{name}/status", body, content="application/merge-patch+json")

    def delete(self, name: str) -> None:
        self._api.call("DELETE", f"{self._path}/{name}")


@pytest.fixture
def pools(kube: client.ApiClient, definition: None) -> Pools:
    return Pools(KubeApi(kube))


def a_document(spec: dict[str, Any], name: str = "studio") -> dict[str, Any]:
    return {"apiVersion": "modelpool.dev/v1alpha1", "kind": "ModelPool", "metadata": {"name": name}, "spec": spec}


@pytest.mark.parametrize("wrong", CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_fields_that_contradict_each_other_are_refused(pools: Pools, wrong: Contradiction) -> None:
    spec = a_pool()
    wrong.edit(spec)
    said = pools.refusal(a_document(spec))
    assert f"{wrong.at or wrong.field}: " in said
    assert (wrong.says or wrong.words) in said


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: f"{mistake.field} as {mistake.new.strip()}")
def test_a_field_that_is_wrong_is_refused(pools: Pools, mistake: Mistake) -> None:
    said = pools.refusal(yaml.safe_load(TEXT.replace(mistake.old, mistake.new)))
    assert (mistake.says or mistake.cure) in said


VALID = {
    "minimal": a_document(MINIMAL),
    "full": a_document(FULL),
    "two tiers": a_document(a_pool()),
    "text": yaml.safe_load(TEXT),
    **{path.name: yaml.safe_load(path.read_text()) for path in EXAMPLES},
}


@pytest.mark.parametrize("document", VALID.values(), ids=VALID)
def test_what_can_work_comes_back_the_same(pools: Pools, document: dict[str, Any]) -> None:
    kept = pools.tried(document)
    assert ModelPool.model_validate(kept).spec == ModelPoolSpec.model_validate(document["spec"])
    assert pools.tried({**document, "spec": kept["spec"]})["spec"] == kept["spec"]


@pytest.mark.parametrize("document", VALID.values(), ids=VALID)
def test_the_api_servers_defaults_are_those_of_core(pools: Pools, document: dict[str, Any]) -> None:
    ours = ModelPoolSpec.model_validate(document["spec"]).model_dump(mode="json", by_alias=True, exclude_none=True)
    assert _without_empty(pools.tried(document)["spec"]) == _without_empty(ours)


def test_the_largest_pool_is_within_the_cost_of_the_rules(pools: Pools) -> None:
    model = FULL["tiers"][0]["models"][0]
    styles = [{"name": f"s{n}", "prompt": "x" * 100 + "{prompt}"} for n in range(16)]
    tiers = [
        {
            "name": f"t{t}",
            "policy": "Rotate",
            "slots": 1000,
            "gpu": {"vram": "25Gi"},
            "models": [{**model, "name": f"t{t}-{'m' * 50}-{m}", "styles": styles} for m in range(32)],
        }
        for t in range(8)
    ]
    large = a_document({"gpu": {"vram": "24Gi"}, "tiers": tiers})
    assert len(pools.tried(large)["spec"]["tiers"][7]["models"]) == 32


def test_columns_show_what_the_status_says(pools: Pools) -> None:
    """Kept for real, so that what ``kubectl get mpl -o wide`` prints is what was reported."""
    document = a_document(MINIMAL, "columns")
    document["spec"] = {**MINIMAL, "worker": {"device": "cpu"}}
    pools.created(document)
    try:
        assert ModelPool.model_validate(pools.read("columns")).spec == ModelPoolSpec.model_validate(document["spec"])
        pools.report("columns", _status())
        table = pools.table("columns")
        row = dict(zip([c["name"] for c in table["columnDefinitions"]], table["rows"][0]["cells"], strict=True))
        assert {name: row[name] for name in ("Ready", "Slots", "Hot", "Queued", "$/Gen")} == {
            "Ready": "True",
            "Slots": 7,
            "Hot": 5,
            "Queued": 3,
            "$/Gen": "0.0021",
        }
        assert (row["Ready Slots"], row["Degraded"], row["Useful"]) == (6, "False", 0.83)
        assert row["Message"] == "All slots are ready and hold what they must."
        assert set(row) >= {column["name"] for column in COLUMNS}
        kept = ModelPoolStatus.model_validate(pools.read("columns")["status"])
        assert kept == _status()
    finally:
        pools.delete("columns")


def _status() -> ModelPoolStatus:
    def condition(kind: str, status: str, message: str) -> Condition:
        return Condition(
            type=kind,
            status=status,
            reason="Serving",
            message=message,
            observed_generation=1,
            last_transition_time="2026-01-01T00:00:00Z",
        )

    return ModelPoolStatus(
        observed_generation=1,
        epoch=3,
        slots=7,
        ready_slots=6,
        hot_models=5,
        queued=3,
        conditions=(
            condition("Ready", "True", "All slots are ready and hold what they must."),
            condition("Degraded", "False", "Nothing stands in the way."),
        ),
        gpus=(GpuStatus(slot="columns-primary-0", tier="primary", phase=SlotPhase.READY, hot=("m",)),),
        models=(ModelStatus(name="m", tier="primary", state=ModelState.HOT, per_minute=1.5),),
        cost=CostStatus(per_generation_usd="0.0021", useful_share=0.83),
        updated_at=1_763_834_567_123,
    )


def test_examples_in_core_and_api_server_are_the_same_pools() -> None:
    """What is tried here is what ``modelpool up`` reads."""
    assert parse_pool(TEXT, "text").spec == ModelPoolSpec.model_validate(VALID["text"]["spec"])
    for path in EXAMPLES:
        assert load_pool(path).spec == ModelPoolSpec.model_validate(VALID[path.name]["spec"])


def _without_empty(value: Any) -> Any:
    """Without empty lists, mappings and texts, which mean the same as nothing."""
    if isinstance(value, dict):
        inner = {name: _without_empty(entry) for name, entry in value.items()}
        return {name: entry for name, entry in inner.items() if entry not in ({}, [], "")}
    return [_without_empty(entry) for entry in value] if isinstance(value, list) else value
