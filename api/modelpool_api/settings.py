"""What the API process is told from outside; what an operator may want to change is a flag and a variable of ``__main__``."""

from __future__ import annotations

from dataclasses import dataclass, field

from modelpool.errors import InvalidInput

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Settings:
    """One API process. URLs may hold passwords: they are never shown or logged."""

    redis_url: str = "redis://127.0.0.1:6379/0"
    store_url: str = "memory:"
    host: str = "127.0.0.1"
    port: int = 8080
    root_path: str = ""
    """Where a proxy mounts the API, such as ``/pool``; links in answers begin with it."""
    api_keys_file: str | None = None
    subject_secret: str = field(default="", repr=False)
    """Signs cookies and keys the hashes that stand for visitors: one or more, the newest first, with commas; the same
    for all replicas. Empty: a random one, for this process alone."""
    admission: str = "local"
    """Who may take how much: ``public``, ``local``, or a YAML file. See :mod:`modelpool_api.policy_file`."""
    admin_token: str = field(default="", repr=False)
    """Opens the admin API; empty: it is off. See :mod:`modelpool_api.admin_token` for what is refused."""
    max_body_bytes: int = 12 * MIB
    max_bodies_bytes: int = 128 * MIB
    """Of all bodies that are being read at a time, the first 64 KiB of each not counted. One network alone has half of it."""
    max_input_pixels: int = 16_777_216
    """Of an input image, before it is decoded."""
    drain_seconds: float = 0.0
    """How long it still answers when it is told to end, and asks with each answer for the connection to be closed."""
    refresh_seconds: float = 1.0
    """How often catalogs, heartbeats and depths are read."""
    reap_seconds: float = 5.0
    sweep_seconds: float = 600.0
    refund_seconds: float = 1.0
    """How often units of jobs that ended unhappily, and of requests that came to nothing, are given back."""
    reread_seconds: float = 15.0
    """How long a waiter trusts silence on the event channel before it reads the record again."""

    def __post_init__(self) -> None:
        """Refuse what cannot work together.

        :raises InvalidInput: naming the setting and the cure.
        """
        if self.max_bodies_bytes < 2 * self.max_body_bytes:
            raise InvalidInput(
                f"all bodies together may have {self.max_bodies_bytes} bytes, of which one network has half, and one alone may have "
                f"{self.max_body_bytes}, so the largest would never be let in: raise --max-bodies-bytes or lower --max-body-bytes",
                param="maxBodiesBytes",
            )
