"""How much memory a pool will take on this machine, and how much there is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from modelpool.resources.quantity import parse_bytes
from modelpool.resources.spec import Device, ModelPoolSpec, Tier

SERVICE_BYTES = 512 * 2**20
"""Redis, operator, API, supervisor and the shared part of the workers, measured on a CPU with the demonstration models."""

CGROUP_LIMITS = (
    # (limit, usage) of version 2 and version 1
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"), Path("/sys/fs/cgroup/memory/memory.usage_in_bytes")),
)


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """Bytes, by cause."""

    service: int
    overhead: int
    """Worker processes."""
    models: int
    """Weights and activations that are in host RAM."""

    @property
    def total(self) -> int:
        """All of it."""
        return self.service + self.overhead + self.models


def estimate(spec: ModelPoolSpec) -> MemoryNeed:
    """What the pool needs when every slot is as full as its budgets and models allow. Pure."""
    slots = sum(tier.slots for tier in spec.tiers)
    return MemoryNeed(
        service=SERVICE_BYTES,
        overhead=slots * parse_bytes(spec.worker_overhead),
        models=sum(tier.slots * _slot_models(spec, tier) for tier in spec.tiers),
    )


def _slot_models(spec: ModelPoolSpec, tier: Tier) -> int:
    candidates = list(tier.models)
    if tier.lend:
        candidates += [model for other in spec.tiers if other.policy == "Rotate" for model in other.models]
    weights = sum(model.weights_bytes for model in candidates)
    warm = min(spec.tier_host_memory(tier), weights)
    if spec.worker.device is Device.CUDA:
        return warm
    # On a CPU the slot's "VRAM" is host RAM too, and a model is either hot or warm.
    hot = min(spec.tier_vram(tier), weights + max(model.activations_bytes for model in candidates))
    return min(hot + warm, weights + max(model.activations_bytes for model in candidates))


def available_bytes() -> int:
    """Memory that may still be used here: the kernel's estimate, or what the control group leaves when that is less."""
    return min([_meminfo_available(Path("/proc/meminfo")), *_cgroup_rest(CGROUP_LIMITS)])


def _meminfo_available(path: Path) -> int:
    for line in path.read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * 1024
    raise OSError(f"{path} does not say MemAvailable")


def _cgroup_rest(files: tuple[tuple[Path, Path], ...]) -> list[int]:
    rests = []
    for limit_file, usage_file in files:
        try:
            limit, usage = limit_file.read_text().strip(), usage_file.read_text().strip()
        except OSError:
            continue
        if limit != "max":
            rests.append(max(0, int(limit) - int(usage)))
    return rests
