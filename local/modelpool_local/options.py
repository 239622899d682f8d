"""What `modelpool up` was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from modelpool.resources.spec import ModelPool

ADMISSION = "modelpool.dev/admission"
"""The annotation of a pool that says who may take how much of it, where `modelpool up` runs it."""
LOCAL, PUBLIC = BUILT_IN = ("local", "public")


@dataclass(frozen=True, slots=True)
class UpOptions:
    """The command line of `modelpool up`, parsed."""

    pool_file: Path
    models: Path = Path("models")
    host: str = "127.0.0.1"
    port: int = 8080
    redis_url: str | None = None
    """Use this Redis instead of an embedded one."""
    store: str | None = None
    """URL or folder of the result store; a folder in the state folder when None."""
    state: Path = Path(".modelpool")
    api_keys: Path | None = None
    admission: str | None = None
    """Who may take how much: ``local``, ``public``, or a YAML file. None: as the pool's annotation says, else ``local``."""
    table: bool = True
    """A live table where there is a terminal."""
    simulated: str | None = None
    """Workers wait instead of computing, with these timings; no model files are needed. None: they compute."""
    grace: float = 30.0
    """Seconds that a worker gets to finish its batch."""

    def admission_for(self, pool: ModelPool) -> str:
        """Who may take how much of ``pool``; a file that the pool names lies beside the pool's."""
        named = (pool.metadata.annotations or {}).get(ADMISSION)
        if self.admission is not None or not isinstance(named, str):
            return self.admission or LOCAL
        return named if named in BUILT_IN else str(self.pool_file.parent / named)

    @property
    def url(self) -> str:
        """Where the API answers."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def store_url(self, folder: Path) -> str:
        """The store's URL; ``folder`` is where results lie unless the user said otherwise."""
        if self.store is None:
            return folder.absolute().as_uri()
        if "://" in self.store:
            return self.store
        return Path(self.store).absolute().as_uri()
