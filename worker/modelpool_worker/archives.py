"""Model archives from an S3 bucket: fetched whole, checked against their SHA-256, unpacked beside the others.

An archive is a tar file, compressed or not, of one pipeline folder or of what is in it. Several workers may share the
cache; one of them fetches while the others wait.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import obstore
from obstore.exceptions import BaseError
from obstore.store import ObjectStore

from modelpool.errors import ModelLoadFailed
from modelpool_worker.engines.protocol import Progress
from modelpool_worker.engines.weights import INDEX

PIECE_BYTES = 16 * 2**20
FETCH_SHARE = 0.9
"""Of the progress shown; the rest is unpacking."""


def unpacked(cache: Path, sha256: str) -> Path | None:
    """The pipeline folder of an archive that has been fetched, or None."""
    folder = cache / sha256
    return _pipeline(folder) if folder.is_dir() else None


def fetch(bucket: ObjectStore, key: str, sha256: str, cache: Path, progress: Progress) -> Path:
    """The pipeline folder of the archive at ``key``, fetched into ``cache`` unless it is there.

    :raises ModelLoadFailed: it cannot be reached, is not what ``sha256`` says, is no safe archive, or finds no room.
    """
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with _only_one(cache / f"{sha256}.lock"):
            found = unpacked(cache, sha256)
            if found is not None:
                return found
            with tempfile.TemporaryDirectory(prefix=f"{sha256[:12]}-", dir=cache) as scratch:
                archive, folder = Path(scratch) / "archive", Path(scratch) / "folder"
                _download(bucket, key, sha256, archive, progress)
                _unpack(archive, folder, key)
                _pipeline(folder)
                folder.rename(cache / sha256)
            progress(1.0)
            return _pipeline(cache / sha256)
    except (BaseError, OSError) as error:
        raise ModelLoadFailed(f"the archive {key!r} cannot be fetched: {error}") from error


def _download(bucket: ObjectStore, key: str, sha256: str, target: Path, progress: Progress) -> None:
    size = obstore.head(bucket, key)["size"]
    # The archive and what comes out of it lie side by side for a while.
    free = shutil.disk_usage(target.parent).free
    if 2 * size > free:
        raise ModelLoadFailed(
            f"the archive {key!r} needs {2 * size / 2**30:.1f} GiB in the cache and {free / 2**30:.1f} are free"
        )
    digest, done = hashlib.sha256(), 0
    with target.open("wb") as file:
        # Piece by piece: each has a time limit and retries of its own, however large the whole is.
        while done < size:
            piece = obstore.get_range(bucket, key, start=done, end=min(size, done + PIECE_BYTES))
            digest.update(piece)
            done += file.write(piece)
            progress(FETCH_SHARE * done / size)
    if digest.hexdigest() != sha256:
        raise ModelLoadFailed(f"the archive {key!r} has the SHA-256 {digest.hexdigest()}, and the pool says {sha256}")


def _unpack(archive: Path, folder: Path, key: str) -> None:
    """Plain files and folders only, and none outside ``folder``."""
    folder.mkdir()
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                path = PurePosixPath(member.name)
                content = tar.extractfile(member) if member.isfile() else None
                if path.is_absolute() or ".." in path.parts or (content is None and not member.isdir()):
                    raise ModelLoadFailed(f"the archive {key!r} is refused: {member.name!r} is no file of its own")
                target = folder / path
                if content is None:
                    target.mkdir(parents=True, exist_ok=True)
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("wb") as file:
                    shutil.copyfileobj(content, file, PIECE_BYTES)
    except (tarfile.TarError, EOFError) as error:
        raise ModelLoadFailed(f"the archive {key!r} is no tar file that can be read: {error}") from error


def _pipeline(folder: Path) -> Path:
    """``folder`` itself, or the one folder within it, whichever holds the pipeline."""
    if (folder / INDEX).is_file():
        return folder
    inside = [path for path in folder.iterdir() if path.is_dir()]
    if len(inside) == 1 and (inside[0] / INDEX).is_file():
        return inside[0]
    raise ModelLoadFailed(
        f"the archive holds no diffusers pipeline: {INDEX} is neither at its top nor in its one folder"
    )


@contextmanager
def _only_one(lock: Path) -> Iterator[None]:
    """Held by one process at a time; a killed one lets go."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
