"""What a slot's pod looks like. Pure: from the pool and the slot to a manifest."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelpool.errors import InvalidSpec
from modelpool.jobs import canonical_json
from modelpool.resources.catalog import pool_ref
from modelpool.resources.gpu import GpuMode
from modelpool.resources.quantity import parse_bytes
from modelpool.resources.spec import Device, ModelPool, Tier
from modelpool.slots import DesiredSlot
from modelpool_operator.cluster.port import (
    MODEL_POOL,
    POD,
    RESOURCE_CLAIM_TEMPLATE,
    SECRET,
    Manifest,
)
from modelpool_operator.runtimes.pods.overlay import overlay

POOL_LABEL, TIER_LABEL, SLOT_LABEL = "modelpool.dev/pool", "modelpool.dev/tier", "modelpool.dev/slot"
TEMPLATE_HASH, PLACEMENT_HASH = "modelpool.dev/template-hash", "modelpool.dev/placement-hash"
COMMON_LABELS = {
    "app.kubernetes.io/name": "modelpool",
    "app.kubernetes.io/component": "worker",
    "app.kubernetes.io/managed-by": "modelpool",
}
"""What every worker pod carries, whatever its pool."""
OWN_LABELS = frozenset({*COMMON_LABELS, POOL_LABEL, TIER_LABEL, SLOT_LABEL})

CONTAINER = "worker"
PORT = 8082
USER = 65532
CACHE_DIR = "/var/cache/modelpool"
GRACE_SECONDS = 60
"""Between SIGTERM and SIGKILL; ``podTemplate.spec.terminationGracePeriodSeconds`` changes it."""
FAREWELL_SECONDS = 5
"""Of the grace period, kept for the worker's goodbye."""
GPU_CLAIM = "gpu"
"""Name of the pod's claim in mode ResourceClaim."""
NODE_LOST_TAINTS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


@dataclass(frozen=True, slots=True)
class Setting:
    """What pods take from around their pool."""

    pool_uid: str
    image: str
    """Of workers, where the pool names none."""
    redis_url: str
    store_url: str


def pod_of(pool: ModelPool, slot: DesiredSlot, setting: Setting) -> Manifest:
    """The pod of one slot, with the hashes of its template and of its demands on a node in annotations.

    :raises InvalidSpec: the pool's podTemplate makes something else than a pod with our container of it.
    """
    template: Mapping[str, Any] = pool.spec.worker.pod_template
    laid = overlay({"metadata": {}, "spec": _pod_spec(pool, slot, setting, _grace(template))}, template)
    _check(laid)
    spec = laid["spec"]
    labels = {**laid["metadata"].get("labels", {}), **labels_of(pool), TIER_LABEL: slot.tier, SLOT_LABEL: slot.slot}
    annotations = laid["metadata"].get("annotations", {})
    # The secret's content counts: a worker reads its variables once.
    secrets = _digest([str(pool_ref(pool)), setting.redis_url, setting.store_url])
    template_hash = _digest([labels, annotations, spec, secrets])
    return {
        "apiVersion": POD.api_version,
        "kind": POD.name,
        "metadata": {
            "name": slot.slot,
            "namespace": pool.metadata.namespace,
            "labels": labels,
            "annotations": {**annotations, TEMPLATE_HASH: template_hash, PLACEMENT_HASH: _placement_hash(spec)},
            "ownerReferences": [owner_of(pool, setting.pool_uid)],
        },
        "spec": spec,
    }


def labels_of(pool: ModelPool) -> dict[str, str]:
    """Labels of everything that belongs to a pool."""
    return {**COMMON_LABELS, POOL_LABEL: pool.metadata.name}


def owner_of(pool: ModelPool, uid: str) -> Manifest:
    """The reference by which the garbage collector finds what belongs to a pool."""
    return {
        "apiVersion": MODEL_POOL.api_version,
        "kind": MODEL_POOL.name,
        "name": pool.metadata.name,
        "uid": uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def secret_name(pool: ModelPool) -> str:
    """Of the Secret from which workers take the addresses of Redis and the store."""
    return f"{pool.metadata.name}-worker"


def secret_of(pool: ModelPool, setting: Setting) -> Manifest:
    """That Secret, in the pool's namespace."""
    return {
        "apiVersion": SECRET.api_version,
        "kind": SECRET.name,
        "metadata": _belonging(pool, setting, secret_name(pool)),
        "type": "Opaque",
        "stringData": {"redisUrl": setting.redis_url, "storeUrl": setting.store_url},
    }


def claim_template_of(pool: ModelPool, setting: Setting) -> Manifest | None:
    """The template of the slots' resource claims; None in mode DevicePlugin. Named by its content, as it cannot change."""
    claim = pool.spec.gpu.claim
    if pool.spec.gpu.mode is not GpuMode.RESOURCE_CLAIM or claim is None:
        return None
    request: Manifest = {"deviceClassName": claim.device_class_name, "allocationMode": "ExactCount", "count": 1}
    if claim.selectors:
        request["selectors"] = [{"cel": {"expression": selector}} for selector in claim.selectors]
    spec = {"spec": {"devices": {"requests": [{"name": GPU_CLAIM, "exactly": request}]}}}
    return {
        "apiVersion": RESOURCE_CLAIM_TEMPLATE.api_version,
        "kind": RESOURCE_CLAIM_TEMPLATE.name,
        "metadata": _belonging(pool, setting, f"{pool.metadata.name}-gpu-{_digest(spec)[:8]}"),
        "spec": spec,
    }


def _belonging(pool: ModelPool, setting: Setting, name: str) -> Manifest:
    return {
        "name": name,
        "namespace": pool.metadata.namespace,
        "labels": labels_of(pool),
        "ownerReferences": [owner_of(pool, setting.pool_uid)],
    }


def _pod_spec(pool: ModelPool, slot: DesiredSlot, setting: Setting, grace: int) -> Manifest:
    gpu = pool.spec.gpu
    tier = next(tier for tier in pool.spec.tiers if tier.name == slot.tier)
    spec: Manifest = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": grace,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "tolerations": [dict(toleration) for toleration in gpu.tolerations]
        + [
            {"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": gpu.node_lost_seconds}
            for taint in NODE_LOST_TAINTS
        ],
        "containers": [_container(pool, slot, tier, setting, grace)],
        "volumes": [*_model_volumes(pool), *({"name": name, "emptyDir": {}} for name in _writable(pool))],
    }
    selector = tier.gpu.node_selector if tier.gpu.node_selector is not None else gpu.node_selector
    if selector:
        spec["nodeSelector"] = dict(selector)
    if gpu.runtime_class_name is not None:
        spec["runtimeClassName"] = gpu.runtime_class_name
    claim = claim_template_of(pool, setting)
    if claim is not None:
        name = claim["metadata"]["name"]
        spec["resourceClaims"] = [{"name": GPU_CLAIM, "resourceClaimTemplateName": name}]
    return spec


def _container(pool: ModelPool, slot: DesiredSlot, tier: Tier, setting: Setting, grace: int) -> Manifest:
    mounts: list[Manifest] = [{"name": name, "mountPath": path} for name, path in _writable(pool).items()]
    if _model_volumes(pool):
        mounts.insert(0, {"name": "models", "mountPath": "/models", "readOnly": True})
    return {
        "name": CONTAINER,
        "image": pool.spec.worker.image or setting.image,
        "env": _environment(pool, slot, grace),
        "ports": [{"name": "http", "containerPort": PORT, "protocol": "TCP"}],
        "resources": overlay(_resources(pool, slot, tier), pool.spec.worker.resources),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        # Importing the engine takes its time on a busy node; after that, silence means trouble.
        "startupProbe": _probe("/healthz", period=2, failures=150),
        "livenessProbe": _probe("/healthz", period=10, failures=6),
        "readinessProbe": _probe("/readyz", period=2, failures=3),
        "volumeMounts": mounts,
    }


def _environment(pool: ModelPool, slot: DesiredSlot, grace: int) -> list[Manifest]:
    plain = {
        "MODELPOOL_POOL": str(pool_ref(pool)),
        "MODELPOOL_SLOT": slot.slot,
        "MODELPOOL_MODELS_DIR": "/models",
        "MODELPOOL_CACHE_DIR": CACHE_DIR,
        "MODELPOOL_VRAM": str(slot.vram_bytes),
        "MODELPOOL_HOST_MEMORY": str(slot.host_memory_bytes),
        "MODELPOOL_DEVICE": slot.device,
        "MODELPOOL_GRACE_SECONDS": str(max(1, grace - FAREWELL_SECONDS)),
        "MODELPOOL_LISTEN_HOST": "0.0.0.0",  # noqa: S104  the kubelet asks from outside the pod
        "MODELPOOL_LISTEN_PORT": str(PORT),
    }
    secret = {"MODELPOOL_REDIS_URL": "redisUrl", "MODELPOOL_STORE_URL": "storeUrl"}
    return [
        *({"name": name, "value": value} for name, value in plain.items()),
        *(
            {"name": name, "valueFrom": {"secretKeyRef": {"name": secret_name(pool), "key": key}}}
            for name, key in secret.items()
        ),
    ]


def _resources(pool: ModelPool, slot: DesiredSlot, tier: Tier) -> Manifest:
    """Memory for warm weights and the process, and one GPU. Which one it is, the device plugin or the driver decides."""
    memory = slot.host_memory_bytes + parse_bytes(pool.spec.worker_overhead)
    if pool.spec.worker.device is Device.CPU:
        memory += slot.vram_bytes  # what stands for the GPU's memory is plain memory, too
    limits = {"memory": str(memory)}
    if pool.spec.gpu.mode is GpuMode.RESOURCE_CLAIM:
        return {"limits": limits, "claims": [{"name": GPU_CLAIM}]}
    return {"limits": {**limits, tier.gpu.resource_name or pool.spec.gpu.resource_name: "1"}}


def _writable(pool: ModelPool) -> dict[str, str]:
    """Volumes that workers may write to, and where: archives of models are fetched into a cache."""
    tmp = {"tmp": "/tmp"}  # noqa: S108  the pod's own
    remote = any(model.source.is_remote for tier in pool.spec.tiers for model in tier.models)
    return {**tmp, "cache": CACHE_DIR} if remote else tmp


def _model_volumes(pool: ModelPool) -> list[Manifest]:
    volume = pool.spec.model_volume
    if volume.persistent_volume_claim is not None:
        claim = volume.persistent_volume_claim.claim_name
        return [{"name": "models", "persistentVolumeClaim": {"claimName": claim, "readOnly": True}}]
    if volume.image is not None:
        return [{"name": "models", "image": {"reference": volume.image.reference, "pullPolicy": "IfNotPresent"}}]
    return []


def _probe(path: str, *, period: int, failures: int) -> Manifest:
    return {
        "httpGet": {"path": path, "port": "http"},
        "periodSeconds": period,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }


def _check(laid: Mapping[str, Any]) -> None:
    """What our own code relies on; the API server judges the rest."""
    for path in (("metadata",), ("metadata", "labels"), ("metadata", "annotations"), ("spec",)):
        found: Any = laid
        for part in path:
            found = found.get(part, {} if len(path) > 1 else None)
        if not isinstance(found, Mapping):
            raise InvalidSpec(f"spec.worker.podTemplate.{'.'.join(path)}: must be a mapping (key: value)")
    containers = laid["spec"].get("containers")
    good = isinstance(containers, list) and all(isinstance(container, Mapping) for container in containers)
    if not good or CONTAINER not in [container.get("name") for container in containers]:
        raise InvalidSpec(
            f"spec.worker.podTemplate.spec.containers: must be a list of containers with names; {CONTAINER!r} is ours"
        )


def _grace(template: Mapping[str, Any]) -> int:
    spec = template.get("spec")
    wanted = spec.get("terminationGracePeriodSeconds") if isinstance(spec, Mapping) else None
    return wanted if isinstance(wanted, int) and wanted > 0 else GRACE_SECONDS


def _placement_hash(spec: Mapping[str, Any]) -> str:
    """Of all that decides where, and whether, a pod can run."""
    names = (
        *("nodeSelector", "affinity", "tolerations", "runtimeClassName", "schedulerName", "resourceClaims"),
        *("topologySpreadConstraints", "priorityClassName", "overhead"),
    )
    resources = [container.get("resources") for container in spec.get("containers", ())]
    return _digest([{name: spec.get(name) for name in names}, resources])


def _digest(value: Any) -> str:
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:16]
