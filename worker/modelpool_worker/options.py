"""The worker's command line. Every option is a variable too: ``--redis-url`` is ``MODELPOOL_REDIS_URL``."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from modelpool.resources.pool import PoolRef
from modelpool.resources.quantity import parse_bytes
from modelpool.resources.spec import Device
from modelpool_worker.config import DEFAULT_CACHE, EngineKind, WorkerConfig
from modelpool_worker.timings import Timings

PLUGIN_DEVICES = "NVIDIA_VISIBLE_DEVICES"
"""Where a device plugin says which devices a container got."""
_NO_DEVICES = {"", "all", "none", "void"}

_EXAMPLES = """examples:
  one slot on this machine's CPU, with models from ./models and results in a folder
    python -m modelpool_worker --pool default/studio --slot studio-primary-0 \\
        --redis-url redis://127.0.0.1:6379/0 --store-url file:///tmp/results --models-dir ./models \\
        --vram 1Gi --host-memory 2Gi --threads 1

  the same on the one GPU that is visible
    CUDA_VISIBLE_DEVICES=0 python -m modelpool_worker --device cuda --vram 24Gi --host-memory 64Gi …

  in a container: nothing on the command line
    MODELPOOL_POOL=default/studio MODELPOOL_SLOT=studio-primary-0 … python -m modelpool_worker

  no models at all: an engine that only waits, for tests and benchmarks
    python -m modelpool_worker --engine simulated --simulate load=2,step=0.05 …

Every option can be given as the variable beside it; the command line wins, an empty variable counts as none.
A password in a URL belongs in a variable: everybody on the machine can read a command line.

exit codes: 0 drained, 2 could not start, 3 the device failed, 4 anything else
"""


def config_of(arguments: Sequence[str], environment: Mapping[str, str]) -> WorkerConfig:
    """The configuration that these arguments and variables mean; exits with a message when they mean none."""
    made = parser()
    given = made.parse_args([*_from_variables(environment), *arguments])
    try:
        return WorkerConfig(
            pool=str(PoolRef.parse(given.pool)),
            slot=given.slot,
            redis_url=given.redis_url,
            store_url=given.store_url,
            models_dir=given.models_dir.resolve(),
            vram_bytes=parse_bytes(given.vram),
            host_memory_bytes=parse_bytes(given.host_memory),
            cache_dir=given.cache_dir.resolve(),
            device=Device(given.device),
            cpu_id=plugin_device(environment.get(PLUGIN_DEVICES, "")) or "cpu",
            engine=EngineKind(given.engine),
            threads=given.threads,
            log_file=given.log_file,
            log_level=given.log_level,
            grace_seconds=given.grace_seconds,
            http_host=given.listen_host,
            http_port=given.listen_port,
            timings=Timings.parse(given.simulate),
        )
    except ValueError as error:
        made.error(str(error))


def plugin_device(devices: str) -> str | None:
    """The one device that a plugin gave to this container, or None when ``devices`` does not name exactly one."""
    return None if devices in _NO_DEVICES or "," in devices else devices


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m modelpool_worker",
        description="Runs one slot of a model pool: holds the models it is assigned, and generates what is queued for them.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    need = made.add_argument_group("required")
    for name, (text, how) in _REQUIRED.items():
        need.add_argument(name, required=True, help=f"{text} [{_variable(name)}]", **how)
    for name, (text, how) in _OPTIONAL.items():
        made.add_argument(name, help=f"{text} [{_variable(name)}]", **how)
    return made


_REQUIRED: dict[str, tuple[str, dict[str, Any]]] = {
    "--pool": ("namespace/name of the pool", {}),
    "--slot": ("the slot's name, such as studio-primary-0", {}),
    "--redis-url": ("redis://host:port/db of the pool's queue", {}),
    "--store-url": ("results and inputs: file:///folder, s3://bucket/prefix or http://host:port", {}),
    "--models-dir": ("folder that /models of the pool file means here", {"type": Path}),
    "--vram": ("memory for hot models, as 24Gi", {}),
    "--host-memory": ("memory for warm models, as 64Gi", {}),
}
_OPTIONAL: dict[str, tuple[str, dict[str, Any]]] = {
    "--cache-dir": (
        "folder for models fetched from s3://; workers may share it; default: %(default)s",
        {"type": Path, "default": DEFAULT_CACHE},
    ),
    "--device": ("default: %(default)s", {"choices": [device.value for device in Device], "default": "cpu"}),
    "--engine": ("default: %(default)s", {"choices": [kind.value for kind in EngineKind], "default": "diffusers"}),
    "--simulate": ("timings of the simulated engine: load, to_hot, step, … in seconds", {"default": ""}),
    "--threads": ("torch's threads; default: torch decides", {"type": int}),
    "--grace-seconds": ("for the running batch on SIGTERM; default: %(default)s", {"type": float, "default": 25.0}),
    "--listen-host": ("of /healthz, /readyz and /metrics; default: %(default)s", {"default": "127.0.0.1"}),
    "--listen-port": ("default: a free one, said in the heartbeat", {"type": int, "default": 0}),
    "--log-file": ("default: standard error", {"type": Path}),
    "--log-level": (
        "default: %(default)s",
        {"type": str.upper, "choices": ["DEBUG", "INFO", "WARNING", "ERROR"], "default": "INFO"},
    ),
}


def _variable(option: str) -> str:
    return f"MODELPOOL_{option.removeprefix('--').replace('-', '_').upper()}"


def _from_variables(environment: Mapping[str, str]) -> list[str]:
    """Variables as arguments to stand before the real ones, so that both are checked alike and the latter win."""
    options = [*_REQUIRED, *_OPTIONAL]
    return [f"{option}={value}" for option in options if (value := environment.get(_variable(option)))]
