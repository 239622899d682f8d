"""What one worker is told when it starts."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from modelpool.resources.spec import Device
from modelpool_worker.timings import Timings

DEFAULT_CACHE = Path("/var/cache/modelpool")


class EngineKind(StrEnum):
    """What computes."""

    DIFFUSERS = "diffusers"
    SIMULATED = "simulated"


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """One slot's worker. Plain values only: it crosses a process boundary by pickling."""

    pool: str
    """``namespace/name``."""
    slot: str
    redis_url: str
    store_url: str
    models_dir: Path
    """What ``/models`` of the pool file means here."""
    vram_bytes: int
    host_memory_bytes: int
    cache_dir: Path = DEFAULT_CACHE
    """Where models fetched from s3:// are kept; workers of one machine may share it."""
    device: Device = Device.CPU
    cpu_id: str = "cpu"
    """Reported as the slot's device when ``device`` is the CPU."""
    engine: EngineKind = EngineKind.DIFFUSERS
    threads: int | None = None
    """Of torch within the process; None leaves it to torch."""
    log_file: Path | None = None
    """None logs to standard error."""
    log_level: str = "INFO"
    grace_seconds: float = 25.0
    """How long a running batch may still take after SIGTERM."""
    http_host: str = "127.0.0.1"
    http_port: int = 0
    """0 takes a free one; the heartbeat says which."""
    timings: Timings = field(default_factory=Timings)
    """Of the simulated engine."""
