"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from modelpool_local.exits import CommandFailed, Exit


def require_writable(path: Path) -> None:
    """A file can be made where ``path`` will be.

    :raises CommandFailed: the folder is missing or may not be written to, or the path is a folder itself.
    """
    if os.path.isdir(path):  # noqa: PTH112 - the path's own raises where the folder may not be looked into
        raise CommandFailed(Exit.FAILED, f"cannot write {path}: Is a directory")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise _cannot(path, error) from None


def save(path: Path, data: bytes) -> None:
    """Write ``data``; who looks sees the old file or the new one.

    :raises CommandFailed: the folder is missing or may not be written to.
    """
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise _cannot(path, error) from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        mask = os.umask(0)
        os.umask(mask)
        Path(name).chmod(0o666 & ~mask)
        Path(name).replace(path)
    except OSError as error:
        Path(name).unlink(missing_ok=True)
        raise _cannot(path, error) from None


def _cannot(path: Path, error: OSError) -> CommandFailed:
    return CommandFailed(Exit.FAILED, f"cannot write {path}: {error.strerror}")
