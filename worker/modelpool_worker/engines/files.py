"""Which files a model folder may hold, and which it must: safetensors and text, nothing that runs code when it is read."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from modelpool.errors import ModelLoadFailed
from modelpool_worker.engines.weights import INDEX, damage

MODELS_MOUNT = "/models"
"""Where pool files say that models are; ``modelpool up --models DIR`` puts DIR there."""

REFUSED_SUFFIXES = frozenset(
    {".bin", ".ckpt", ".dill", ".h5", ".joblib", ".msgpack", ".npy", ".npz", ".pickle", ".pkl", ".pt", ".pth", ".py"}
)


def folder_of(uri: str, models_dir: Path) -> Path:
    """The folder that a model's source means.

    :raises ModelLoadFailed: not file://, or a path that leaves the models' folder.
    """
    parts = urlsplit(uri)
    if parts.scheme != "file":
        raise ModelLoadFailed(f"the source {uri!r} names no folder; write file:///models/NAME")
    path = Path(unquote(parts.path))
    if ".." in path.parts:
        raise ModelLoadFailed(f"the source {uri!r} must not contain '..'")
    if path.is_relative_to(MODELS_MOUNT):
        return models_dir / path.relative_to(MODELS_MOUNT)
    return path


def require_loadable(folder: Path) -> None:
    """Refuse a folder that is no pipeline, holds files that could run code, or whose weights are not whole.

    :raises ModelLoadFailed: says which file.
    """
    if not folder.is_dir():
        raise ModelLoadFailed(f"there is no model folder {folder}")
    if not (folder / INDEX).is_file():
        raise ModelLoadFailed(f"{folder} is no diffusers pipeline: {INDEX} is missing")
    for file in sorted(folder.rglob("*")):
        if file.suffix.lower() in REFUSED_SUFFIXES:
            raise ModelLoadFailed(
                f"{file.relative_to(folder)} is refused: it could run code when read; convert it to safetensors"
            )
    if problem := damage(folder):
        raise ModelLoadFailed(f"the folder {folder} {problem}")
