"""ModelPool v1alpha1, ``spec.gpu``: which GPU a slot needs."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from modelpool.resources.base import Resource
from modelpool.resources.quantity import Memory, parse_bytes


class GpuMode(StrEnum):
    """How a pod asks for its GPU."""

    DEVICE_PLUGIN = "DevicePlugin"
    RESOURCE_CLAIM = "ResourceClaim"


class DeviceClaim(Resource):
    """A Dynamic Resource Allocation request (resource.k8s.io/v1)."""

    device_class_name: str = Field(
        "gpu.nvidia.com", min_length=1, max_length=253, description="DeviceClass that the GPU is taken from."
    )
    selectors: tuple[Annotated[str, Field(min_length=1, max_length=4096)], ...] = Field(
        (),
        max_length=32,
        description="CEL expressions that a device must all satisfy, such as "
        "device.attributes['gpu.nvidia.com'].productName == 'NVIDIA L4'.",
    )


class Gpu(Resource):
    """Which GPU a slot needs."""

    mode: GpuMode = Field(
        GpuMode.DEVICE_PLUGIN,
        description="How a pod asks for its GPU: DevicePlugin requests one resourceName, ResourceClaim makes a Dynamic "
        "Resource Allocation claim as described in claim.",
    )
    resource_name: str = Field(
        "nvidia.com/gpu",
        min_length=1,
        max_length=253,
        description="Extended resource of the device plugin of which each slot requests one. A MIG profile has a name of "
        "its own, such as nvidia.com/mig-3g.20gb.",
    )
    claim: DeviceClaim | None = Field(
        None, description="What each slot claims in mode ResourceClaim; not allowed in mode DevicePlugin."
    )
    vram: Memory = Field(
        description="Memory of one GPU that modelpool may fill with weights and activations, such as 24Gi. Leave some "
        "out for the CUDA context (about 1Gi)."
    )
    node_selector: dict[str, Annotated[str, Field(max_length=63)]] = Field(
        default_factory=dict,
        max_length=32,
        description="Labels that a node must carry, such as nvidia.com/gpu.product: NVIDIA-L4. Empty: any node with a "
        "free GPU.",
    )
    tolerations: tuple[dict[str, Any], ...] = Field(
        (),
        max_length=32,
        description="Tolerations of the worker pods, as in a pod's spec, such as "
        "{key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}.",
    )
    runtime_class_name: str | None = Field(
        None,
        min_length=1,
        max_length=253,
        description="RuntimeClass of the worker pods, such as nvidia. Without it the node's default runtime is used.",
    )
    node_lost_seconds: int = Field(
        60,
        ge=10,
        le=3600,
        description="Seconds after which a slot on a node that no longer answers is given up and started elsewhere.",
    )

    @property
    def vram_bytes(self) -> int:
        """``vram`` in bytes."""
        return parse_bytes(self.vram)


class TierGpu(Resource):
    """What a tier's GPUs have different from the pool's."""

    vram: Memory | None = Field(
        None, description="Memory of one GPU of this tier that modelpool may fill, instead of the pool's gpu.vram."
    )
    resource_name: str | None = Field(
        None,
        min_length=1,
        max_length=253,
        description="Extended resource that a slot of this tier requests, instead of the pool's gpu.resourceName.",
    )
    node_selector: dict[str, Annotated[str, Field(max_length=63)]] | None = Field(
        None,
        max_length=32,
        description="Labels that a node of this tier must carry, instead of the pool's gpu.nodeSelector.",
    )
