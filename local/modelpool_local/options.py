"""What `modelpool up` was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


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
    admission: str = "local"
    """Who may take how much: ``local``, ``public``, or a YAML file."""
    table: bool = True
    """A live table where there is a terminal."""
    simulated: str | None = None
    """Workers wait instead of computing, with these timings; no model files are needed. None: they compute."""
    grace: float = 30.0
    """Seconds that a worker gets to finish its batch."""

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
