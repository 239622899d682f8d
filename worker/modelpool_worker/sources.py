"""Where a model's files are: in the models folder, or in an archive that is fetched into a cache first."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from modelpool.documents import CatalogModel
from modelpool.errors import ModelLoadFailed
from modelpool.store.open import open_bucket
from modelpool_worker.archives import fetch, unpacked
from modelpool_worker.engines.files import folder_of
from modelpool_worker.engines.protocol import Progress


class Sources:
    """What the sources of a pool mean on this machine."""

    def __init__(self, models_dir: Path, cache_dir: Path) -> None:
        self._models_dir = models_dir
        self._cache_dir = cache_dir

    def is_here(self, model: CatalogModel) -> bool:
        """Whether :meth:`folder` can answer without :meth:`fetch`."""
        source = model.source
        return not source.is_remote or unpacked(self._cache_dir, source.sha256 or "-") is not None

    def fetch(self, model: CatalogModel, progress: Progress) -> None:
        """Bring a model's files here; blocks until they are.

        :raises ModelLoadFailed: they cannot be had, or are not what the pool says.
        """
        source, parts = model.source, urlsplit(model.source.uri)
        if source.sha256 is None:
            raise ModelLoadFailed(f"{source.uri!r} has no sha256 in the pool, and is not fetched without")
        fetch(open_bucket(parts.netloc), parts.path.strip("/"), source.sha256, self._cache_dir, progress)

    def folder(self, model: CatalogModel) -> Path:
        """The pipeline's folder.

        :raises ModelLoadFailed: the source leaves the models folder, or has not been fetched.
        """
        if not model.source.is_remote:
            return folder_of(model.source.uri, self._models_dir)
        found = unpacked(self._cache_dir, model.source.sha256 or "-")
        if found is None:
            raise ModelLoadFailed(f"{model.source.uri!r} has not been fetched")
        return found
