"""The catalog says what the pool offers, and names slots and revisions the same way every time."""

import pytest

from modelpool.resources.catalog import catalog_of, revision_of, slot_name
from modelpool.resources.models import Source
from modelpool.resources.spec import ModelPool

GIB = 2**30


def a_pool() -> ModelPool:
    def model(name: str) -> dict[str, object]:
        return {"name": name, "source": {"uri": f"file:///models/{name}"}, "weights": "4Gi", "activations": "1Gi"}

    return ModelPool.model_validate(
        {
            "apiVersion": "modelpool.dev/v1alpha1",
            "kind": "ModelPool",
            "metadata": {"name": "studio", "namespace": "art"},
            "spec": {
                "default": True,
                "gpu": {"vram": "24Gi"},
                "tiers": [
                    {"name": "primary", "policy": "Always", "slots": 2, "models": [model("a")]},
                    {
                        "name": "video",
                        "policy": "OnDemand",
                        "slots": 1,
                        "gpu": {"vram": "48Gi"},
                        "hostMemory": "8Gi",
                        "models": [model("b"), model("c")],
                    },
                ],
            },
        }
    )


def test_slots_and_models_keep_the_order_of_the_document() -> None:
    catalog = catalog_of(a_pool(), updated_at=7)
    assert catalog.pool == "art/studio"
    assert catalog.updated_at == 7
    assert [slot.slot for slot in catalog.slots] == ["studio-primary-0", "studio-primary-1", "studio-video-0"]
    assert [(slot.vram_bytes, slot.host_memory_bytes) for slot in catalog.slots] == [
        (24 * GIB, 64 * GIB),
        (24 * GIB, 64 * GIB),
        (48 * GIB, 8 * GIB),
    ]
    assert [(model.name, model.tier) for model in catalog.models] == [("a", "primary"), ("b", "video"), ("c", "video")]
    assert catalog.models[0].weights_bytes == 4 * GIB


def test_a_catalog_survives_the_way_through_json() -> None:
    catalog = catalog_of(a_pool())
    assert type(catalog).model_validate_json(catalog.to_json()) == catalog


def test_a_revision_is_the_pinned_one_or_follows_the_source() -> None:
    source = Source(uri="file:///models/a")
    assert revision_of(Source(uri="file:///models/a", revision="v2")) == "v2"
    assert revision_of(source) == revision_of(Source(uri="file:///models/a"))
    assert revision_of(source) != revision_of(Source(uri="file:///models/b"))


@pytest.mark.parametrize("index", [0, 11])
def test_slot_names_are_pool_tier_index(index: int) -> None:
    assert slot_name("studio", "primary", index) == f"studio-primary-{index}"
