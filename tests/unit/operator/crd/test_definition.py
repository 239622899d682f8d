"""The CustomResourceDefinition is one that the API server takes and people can read, and it follows the core models."""

import re
import subprocess
import sys
from collections.abc import Iterator
from inspect import getmembers, isclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field

from modelpool.resources import gpu, models, spec
from modelpool.resources.checks import CHECKS
from modelpool.resources.spec import ModelPoolSpec
from modelpool.resources.status import Condition, CostStatus, ModelPoolStatus
from modelpool_operator.crd import custom_resource_definition
from modelpool_operator.crd.definition import COLUMNS
from modelpool_operator.crd.rules import RULES
from modelpool_operator.crd.schema import LIST_KEYS, structural_schema
from support.pool_examples import CONTRADICTIONS, a_pool

ROOT = Path(__file__).parents[4]
Place = tuple[str, ...]

VERSION: dict[str, Any] = custom_resource_definition()["spec"]["versions"][0]
POOL: dict[str, Any] = VERSION["schema"]["openAPIV3Schema"]
ALLOWED = {
    *("type", "description", "properties", "required", "items", "additionalProperties", "default", "enum", "pattern"),
    *("minimum", "maximum", "exclusiveMinimum", "minLength", "maxLength", "minItems", "maxItems", "maxProperties"),
    *("x-kubernetes-validations", "x-kubernetes-list-type", "x-kubernetes-list-map-keys"),
    "x-kubernetes-preserve-unknown-fields",
}


def levels(schema: dict[str, Any], place: Place = ()) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Every schema within ``schema``, with its place: ("spec", "tiers", "[]", "name")."""
    yield place, schema
    for name, inner in schema.get("properties", {}).items():
        yield from levels(inner, (*place, name))
    if "items" in schema:
        yield from levels(schema["items"], (*place, "[]"))
    if "additionalProperties" in schema:
        yield from levels(schema["additionalProperties"], (*place, "*"))


def test_every_level_has_a_type_and_nothing_that_is_not_structural() -> None:
    for place, schema in levels(POOL):
        assert schema["type"] in ("object", "array", "string", "integer", "number", "boolean"), place
        assert set(schema) <= ALLOWED, place


def test_every_list_and_text_of_the_spec_is_bounded() -> None:
    """From these bounds the API server estimates what the rules cost."""
    for place, schema in levels(POOL["properties"]["spec"]):
        if schema["type"] == "string":
            assert "maxLength" in schema or "enum" in schema, place
        elif schema["type"] == "array":
            assert "maxItems" in schema, place
        elif "additionalProperties" in schema:
            assert "maxProperties" in schema, place


def test_only_what_is_kubernetes_own_is_open() -> None:
    free = [place for place, schema in levels(POOL) if schema.get("x-kubernetes-preserve-unknown-fields")]
    assert free == [
        ("spec", "gpu", "tolerations", "[]"),
        ("spec", "worker", "resources"),
        ("spec", "worker", "podTemplate"),
    ]


def test_every_field_says_what_it_is() -> None:
    for place, schema in levels(POOL):
        if place and place[-1] not in ("[]", "*", "metadata"):
            if place not in (("apiVersion",), ("kind",)):
                assert re.fullmatch(r"[A-Z](?s:.){9,}\.", schema["description"]), place
            # Helm reads it as a template.
            assert "{{" not in schema["description"], place


def test_explanations_give_default_and_range() -> None:
    seconds = POOL["properties"]["spec"]["properties"]["targetSeconds"]
    assert seconds["description"].endswith("Default: 10. More than 0, at most 3600.")


def test_named_entries_merge_by_name() -> None:
    maps = {
        place: schema["x-kubernetes-list-map-keys"]
        for place, schema in levels(POOL)
        if schema.get("x-kubernetes-list-type") == "map"
    }
    assert maps == {
        ("spec", "tiers"): ["name"],
        ("spec", "tiers", "[]", "models"): ["name"],
        ("spec", "tiers", "[]", "models", "[]", "styles"): ["name"],
        ("status", "conditions"): ["type"],
        ("status", "gpus"): ["slot"],
        ("status", "models"): ["name"],
    }
    assert len(maps) == len(LIST_KEYS)


def test_a_status_is_never_refused_for_its_size_and_never_filled_in() -> None:
    for place, schema in levels(POOL["properties"]["status"]):
        assert not {"default", "maxLength", "maxItems"} & set(schema), place


def test_rules_belong_to_classes_of_the_resource() -> None:
    classes = {name for module in (gpu, models, spec) for name, _ in getmembers(module, isclass)}
    assert set(RULES) <= classes
    placed = [rule for _, schema in levels(POOL) for rule in schema.get("x-kubernetes-validations", ())]
    for rules in RULES.values():
        assert all(rule.document() in placed for rule in rules)


def test_every_rule_says_in_plain_words_what_to_do() -> None:
    for place, schema in levels(POOL):
        for rule in schema.get("x-kubernetes-validations", ()):
            assert rule["message"], place


@pytest.mark.parametrize("run", CHECKS, ids=lambda run: run.__name__)
def test_every_check_of_core_has_an_example_that_the_api_server_is_shown(run: Any) -> None:
    """What the API server says to these examples is asserted on a real one, in tests/e2e."""

    def finds(name: str) -> bool:
        spec = a_pool()
        CONTRADICTIONS[name].edit(spec)
        return bool(list(run(ModelPoolSpec.model_validate(spec))))

    assert any(finds(name) for name in CONTRADICTIONS)


def test_columns_find_their_values_in_a_status() -> None:
    status = ModelPoolStatus(
        slots=7,
        ready_slots=6,
        hot_models=5,
        queued=3,
        conditions=(
            Condition(type="Ready", status="True", reason="Serving", message="All is well."),
            Condition(type="Degraded", status="False", reason="AsExpected", message="Nothing."),
        ),
        cost=CostStatus(per_generation_usd="0.0021", useful_share=0.83),
    )
    pool = {
        "metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"},
        "status": status.model_dump(mode="json", by_alias=True, exclude_none=True),
    }
    assert {column["name"]: value_at(pool, column["jsonPath"]) for column in COLUMNS} == {
        "Ready": "True",
        "Slots": 7,
        "Hot": 5,
        "Queued": 3,
        "$/Gen": "0.0021",
        "Age": "2026-01-01T00:00:00Z",
        "Ready Slots": 6,
        "Degraded": "False",
        "Useful": 0.83,
        "Message": "All is well.",
    }


def value_at(document: Any, path: str) -> Any:
    """The part of JSONPath that columns use: ``.a.b`` and ``.list[?(@.type=="X")].c``."""
    for name, chosen in re.findall(r'\.(\w+)(?:\[\?\(@\.type=="(\w+)"\)\])?', path):
        document = document[name]
        if chosen:
            (document,) = (entry for entry in document if entry["type"] == chosen)
    return document


def test_names_are_those_that_people_type() -> None:
    names = custom_resource_definition()["spec"]["names"]
    assert (names["plural"], names["shortNames"], names["categories"]) == ("modelpools", ["mpl"], ["modelpool"])
    assert VERSION["subresources"] == {"status": {}}


def test_the_files_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "crd.py", "--check"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


class Undescribed(BaseModel):
    name: str


class Either(BaseModel):
    name: int | str = Field(description="A union.")


class Below(BaseModel):
    name: int = Field(description="A bound that no field of ours has.", lt=10)


@pytest.mark.parametrize(
    ("model", "words"),
    [(Undescribed, "has no description"), (Either, "is a union"), (Below, "says exclusiveMaximum")],
)
def test_a_field_that_kubernetes_or_people_could_not_read_is_refused(model: type[BaseModel], words: str) -> None:
    with pytest.raises(TypeError, match=rf"{model.__name__}\.name {words}"):
        structural_schema(model, "Something.")
