"""From a ModelPool to what others need to know of it: slots with names and budgets, and the catalog. Pure."""

from __future__ import annotations

import hashlib

from modelpool.documents import Catalog, CatalogModel, CatalogSlot
from modelpool.jobs import canonical_json
from modelpool.resources.models import Model, Source
from modelpool.resources.pool import PoolRef
from modelpool.resources.spec import ModelPool, Tier


def pool_ref(pool: ModelPool) -> PoolRef:
    """The identity of a pool."""
    return PoolRef(pool.metadata.namespace, pool.metadata.name)


def slot_name(pool: str, tier: str, index: int) -> str:
    """``studio-primary-0``: deterministic, so that a restarted operator finds its slots again."""
    return f"{pool}-{tier}-{index}"


def slots_of(pool: ModelPool, tier: Tier) -> tuple[CatalogSlot, ...]:
    """The slots of one tier, in order of their index."""
    return tuple(
        CatalogSlot(
            slot=slot_name(pool.metadata.name, tier.name, index),
            tier=tier.name,
            vram_bytes=pool.spec.tier_vram(tier),
            host_memory_bytes=pool.spec.tier_host_memory(tier),
        )
        for index in range(tier.slots)
    )


def revision_of(source: Source) -> str:
    """What must change for a model to be loaded again: the pinned revision, else a short hash of the source."""
    if source.revision is not None:
        return source.revision
    return hashlib.sha256(canonical_json(source.model_dump(mode="json")).encode()).hexdigest()[:12]


def catalog_of(pool: ModelPool, updated_at: int = 0) -> Catalog:
    """What the pool offers, in the order of the document. ``updated_at`` in Unix milliseconds."""
    return Catalog(
        pool=str(pool_ref(pool)),
        default=pool.spec.default,
        target_seconds=pool.spec.target_seconds,
        models=tuple(_entry(model, tier) for tier in pool.spec.tiers for model in tier.models),
        slots=tuple(slot for tier in pool.spec.tiers for slot in slots_of(pool, tier)),
        updated_at=updated_at,
    )


def _entry(model: Model, tier: Tier) -> CatalogModel:
    return CatalogModel(
        name=model.name,
        tier=tier.name,
        policy=tier.policy,
        tasks=model.tasks,
        source=model.source,
        revision=revision_of(model.source),
        weights_bytes=model.weights_bytes,
        activations_bytes=model.activations_bytes,
        defaults=model.defaults,
        limits=model.limits,
        batch=model.batch,
        styles=model.styles,
        quota_units=model.quota_units,
        seconds_per_megapixel_step=model.seconds_per_megapixel_step,
    )
