"""What `modelpool up` checks before it starts anything: each failure is one clear line with the cure."""

from __future__ import annotations

import errno
import socket
from pathlib import Path

from modelpool.errors import InvalidSpec, ModelLoadFailed
from modelpool.resources.load import load_pool
from modelpool.resources.quantity import format_bytes
from modelpool.resources.spec import Device, ModelPool
from modelpool_local.exits import CommandFailed, Exit
from modelpool_local.memory import estimate
from modelpool_worker.engines.files import INDEX, folder_of
from modelpool_worker.timings import Timings


def read_pool(path: Path) -> ModelPool:
    """The pool of the file."""
    try:
        return load_pool(path)
    except InvalidSpec as error:
        raise CommandFailed(Exit.INVALID_SPEC, str(error)) from None


def check_timings(text: str) -> None:
    """The simulated engine's timings can be read."""
    try:
        Timings.parse(text)
    except ValueError as error:
        raise CommandFailed(Exit.USAGE, f"--simulated {text}: {error}; write such as load=0.5,step=0.05") from None


def check_models(pool: ModelPool, models: Path) -> None:
    """Every model of the pool has a pipeline folder."""
    for tier in pool.spec.tiers:
        for model in tier.models:
            try:
                folder = folder_of(model.source.uri, models.absolute())
            except ModelLoadFailed as error:
                raise CommandFailed(Exit.MODEL_MISSING, f"model {model.name}: {error.message}") from None
            if (folder / INDEX).is_file():
                continue
            problem = f"has no {INDEX}" if folder.is_dir() else "does not exist"
            raise CommandFailed(
                Exit.MODEL_MISSING,
                f"model {model.name}: the folder {folder} {problem}; "
                "put a diffusers pipeline there, or say where the models are with --models DIR",
            )


def check_memory(pool: ModelPool, available: int) -> None:
    """The pool, as full as it may get, fits into the memory that is left."""
    need = estimate(pool.spec)
    if need.total <= available:
        return
    slots = sum(tier.slots for tier in pool.spec.tiers)
    raise CommandFailed(
        Exit.TOO_LITTLE_MEMORY,
        f"too little memory: {pool.metadata.name} needs about {format_bytes(need.total)} "
        f"({slots} worker processes {format_bytes(need.overhead)}, models {format_bytes(need.models)}, "
        f"service {format_bytes(need.service)}) and {format_bytes(available)} is available; "
        "lower tiers[].slots, workerOverhead or hostMemory in the pool file",
    )


def check_gpus(pool: ModelPool, found: int) -> None:
    """One GPU per slot, when the pool wants GPUs."""
    slots = sum(tier.slots for tier in pool.spec.tiers)
    if pool.spec.worker.device is Device.CUDA and found < slots:
        raise CommandFailed(
            Exit.TOO_FEW_GPUS,
            f"{pool.metadata.name} has {slots} slots and this machine {found} GPUs; "
            "lower tiers[].slots, or set worker.device: cpu in the pool file",
        )


def check_port(host: str, port: int) -> None:
    """Nobody listens where the API shall."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                message = f"port {port} on {host} is taken; choose another with --port"
            else:
                message = f"cannot listen on {host} port {port}: {error.strerror}; choose others with --host and --port"
            raise CommandFailed(Exit.PORT_TAKEN, message) from None
