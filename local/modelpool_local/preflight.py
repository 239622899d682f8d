"""What `modelpool up` checks before it starts anything: each failure is one clear line with the cure."""

from __future__ import annotations

import errno
import json
import socket
from pathlib import Path
from typing import Any

from modelpool.errors import InvalidInput, InvalidSpec, ModelLoadFailed
from modelpool.resources.load import load_pool
from modelpool.resources.quantity import format_bytes
from modelpool.resources.spec import Device, ModelPool
from modelpool_local.exits import CommandFailed, Exit
from modelpool_local.memory import estimate
from modelpool_worker.engines.files import folder_of
from modelpool_worker.engines.weights import INDEX, damage
from modelpool_worker.timings import Timings

WITHOUT_WEIGHTS = ("Tokenizer", "Scheduler", "Processor", "Extractor")
"""Words in the class names of a pipeline's components that are configuration only."""


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
    """Every model of the pool has a pipeline folder with all its weights, or comes from a bucket."""
    for tier in pool.spec.tiers:
        for model in tier.models:
            if model.source.is_remote:
                continue  # a worker fetches it, and says so if it cannot
            try:
                folder = folder_of(model.source.uri, models.absolute())
            except ModelLoadFailed as error:
                raise CommandFailed(Exit.MODEL_MISSING, f"model {model.name}: {error.message}") from None
            if problem := _problem_of(folder):
                raise CommandFailed(
                    Exit.MODEL_MISSING,
                    f"model {model.name}: the folder {folder} {problem}; "
                    "put a diffusers pipeline there, or say where the models are with --models DIR",
                )


def _problem_of(folder: Path) -> str | None:
    if not folder.is_dir():
        return "does not exist"
    if not (folder / INDEX).is_file():
        return f"has no {INDEX}"
    try:
        index = json.loads((folder / INDEX).read_text())
    except (OSError, ValueError):
        return f"has a {INDEX} that cannot be read"
    if not isinstance(index, dict):
        return f"has a {INDEX} that is none"
    if problem := damage(folder):
        return problem
    for component, said in index.items():
        if _has_weights(said) and not any((folder / component).glob("*.safetensors")):
            return f"lacks the weights of its {component} ({component}/*.safetensors)"
    return None


def _has_weights(said: Any) -> bool:
    """Whether an entry of the index, ``[library, class]``, is a component with weights; a null one is left out."""
    match said:
        case [str(), str(kind)]:
            return not any(word in kind for word in WITHOUT_WEIGHTS)
        case _:
            return False


def check_admission(source: str) -> None:
    """The admission document can be read and works."""
    from modelpool_api.policy_file import read_policy  # of the API's libraries, loaded only where needed

    try:
        read_policy(source)
    except InvalidInput as error:
        raise CommandFailed(Exit.USAGE, f"--admission: {error.message}") from None


def check_api_keys(file: Path, admission: str = "local") -> None:
    """The keys file can be read, is well-formed, and names plans that the admission document has."""
    from modelpool_api.identity.keys_file import read_api_keys, require_plans
    from modelpool_api.policy_file import read_policy

    try:
        require_plans(read_api_keys(file), read_policy(admission).plans)
    except InvalidInput as error:
        raise CommandFailed(Exit.USAGE, f"--api-keys: {error.message}") from None


def check_store(url: str) -> None:
    """The store's URL means a store that several processes can share; a folder is made."""
    from modelpool.store.open import open_store  # of the store's libraries, loaded only where needed

    try:
        if url.startswith("memory:"):
            raise InvalidInput(
                "processes cannot share a store in memory; write a folder, s3://bucket/prefix or http://host:port"
            )
        open_store(url)
    except InvalidInput as error:
        raise CommandFailed(Exit.USAGE, f"--store: {error.message}") from None


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
        except (OSError, TypeError, UnicodeError) as error:  # Python encodes names of hosts by itself
            why = error.strerror if isinstance(error, OSError) else "that is no name of a host"
            if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
                message = f"port {port} on {host} is taken; choose another with --port"
            else:
                message = f"cannot listen on {host} port {port}: {why}; choose others with --host and --port"
            raise CommandFailed(Exit.PORT_TAKEN, message) from None
