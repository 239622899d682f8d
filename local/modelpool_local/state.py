"""The state folder of one `modelpool up`: what survives it, and the lock that keeps a second one out."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import tempfile
from pathlib import Path
from types import TracebackType

from modelpool_local.exits import CommandFailed, Exit

LONGEST_SOCKET_PATH = 100
"""The kernel's limit is 107 bytes; Redis and the slots socket need a few for their names."""


ANNOUNCEMENT = "up.json"
ADMIN_TOKEN = "admin-token"  # noqa: S105  # the file's name


def redis_url_of(root: Path) -> str:
    """The Redis of the `modelpool up` that runs with this state folder.

    :raises CommandFailed: none does.
    """
    try:
        found: str = json.loads((root / ANNOUNCEMENT).read_text())["redisUrl"]
    except (OSError, ValueError, KeyError):
        raise CommandFailed(
            Exit.UNREACHABLE, f"no `modelpool up` runs with the state folder {root}; give --state or --redis-url"
        ) from None
    return found


def admin_token_of(root: Path) -> str:
    """The admin token of the `modelpool up` that has this state folder.

    :raises CommandFailed: there is none.
    """
    try:
        return (root / ADMIN_TOKEN).read_text().strip()
    except OSError:
        raise CommandFailed(
            Exit.USAGE, f"no admin token: {root} is no state folder of `modelpool up`; give --admin-token or --state"
        ) from None


class StateFolder:
    """Paths below one folder. Use as a context manager: it holds the lock as long as it lasts."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.logs = self.root / "logs"
        self.redis = self.root / "redis"
        self.store = self.root / "store"
        self.cache = self.root / "models"
        """Models fetched from s3://."""
        self.sockets = self.root / "sockets"
        self._lock: int | None = None
        self._borrowed: Path | None = None

    def __enter__(self) -> StateFolder:
        try:
            for folder in (self.root, self.logs, self.redis, self.store):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise CommandFailed(Exit.STATE_IN_USE, f"cannot use {self.root} as state folder: {error}") from error
        self._take_lock()
        self._make_socket_folder()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        (self.root / ANNOUNCEMENT).unlink(missing_ok=True)
        if self._borrowed is not None:
            shutil.rmtree(self._borrowed, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def announce(self, url: str, redis_url: str) -> None:
        """Tell other commands of this user where the API and Redis are."""
        path = self.root / ANNOUNCEMENT
        path.touch(mode=0o600)
        path.write_text(json.dumps({"url": url, "redisUrl": redis_url}))

    def subject_secret(self) -> str:
        """What addresses are hashed with: made once, so that an anonymous user stays the same after a restart."""
        return self._secret("subject-secret")

    def admin_token(self) -> str:
        """What opens the admin API; made once."""
        return self._secret(ADMIN_TOKEN)

    def _secret(self, name: str) -> str:
        path = self.root / name
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(secrets.token_hex(32))
        return path.read_text()

    def log(self, name: str) -> Path:
        """Log file of one process."""
        return self.logs / f"{name}.log"

    def socket(self, name: str) -> Path:
        """Path of one Unix socket."""
        return self.sockets / f"{name}.sock"

    def _take_lock(self) -> None:
        path = self.root / "lock"
        # Python's descriptors are not inherited, so the lock goes with this process even when it is killed.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = path.read_text().strip() or "unknown"
            os.close(descriptor)
            raise CommandFailed(
                Exit.STATE_IN_USE,
                f"{self.root} is in use by another `modelpool up` (process {holder}); stop it, or give this one --state DIR",
            ) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        self._lock = descriptor

    def _make_socket_folder(self) -> None:
        if len(os.fsencode(self.socket("redis"))) > LONGEST_SOCKET_PATH:
            self._borrowed = Path(tempfile.mkdtemp(prefix="modelpool-"))
            self.sockets = self._borrowed
        self.sockets.mkdir(mode=0o700, exist_ok=True)
