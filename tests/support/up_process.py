"""A real `modelpool up` as a child process of a test, with the simulated engine unless it is told otherwise."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import httpx
import psutil

from support.ports import unused_port
from support.waiting import PATIENCE_SECONDS, block_until

PARTS = {
    "api": "modelpool_api",
    "operator": "modelpool_operator",
    "redis": "redis-server",
    "fork server": "multiprocessing.forkserver",
}
"""What tells the command lines of the supervisor's children apart."""


class UpProcess:
    """Use as a context manager: what is left of it at the end is killed. Without ``timings`` the models are real."""

    def __init__(self, pool_file: Path, folder: Path, *, timings: str | None = "", more: Sequence[str] = ()) -> None:
        self.pool_file = pool_file
        self.state = folder / "state"
        self.port = unused_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.lines: list[str] = []
        self.command = [
            *(sys.executable, "-m", "modelpool_cli", "up", "--plain"),
            *("-f", str(pool_file)),
            *("--state", str(self.state)),
            *("--port", str(self.port)),
            *([] if timings is None else [f"--simulated={timings}"]),
            *more,
        ]
        self._seen: dict[int, psutil.Process] = {}

    def start(self) -> None:
        """Start it, without waiting for anything."""
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_until_ready(self) -> None:
        """Return when it says that it is ready."""
        block_until(self._is_ready)

    def __enter__(self) -> UpProcess:
        self.start()
        try:
            self.wait_until_ready()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Kill whatever is left."""
        self.family()
        for process in [psutil.Process(self.process.pid)] if self.process.poll() is None else []:
            process.kill()
        self.process.wait(PATIENCE_SECONDS)
        for process in self._seen.values():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._reader.join(timeout=5)

    def signal(self, number: signal.Signals) -> None:
        """Send the supervisor a signal."""
        self.family()
        self.process.send_signal(number)

    def wait(self) -> int:
        """The exit code, when it has ended."""
        code = self.process.wait(PATIENCE_SECONDS)
        self._reader.join(timeout=5)
        return code

    def family(self) -> list[psutil.Process]:
        """All living processes below the supervisor; remembered, so that :meth:`left_over` can look for them."""
        try:
            found = psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        self._seen.update({process.pid: process for process in found})
        return found

    def left_over(self) -> list[psutil.Process]:
        """Processes of the family that still live."""
        return [
            process
            for process in self._seen.values()
            # psutil compares start times, so a reused process id is no survivor.
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        ]

    def part(self, name: str) -> psutil.Process | None:
        """The process of one part, or None while there is none."""
        for process in self.family():
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.ppid() == self.process.pid and any(PARTS[name] in word for word in process.cmdline()):
                    return process
        return None

    def workers(self) -> list[psutil.Process]:
        """The worker processes, oldest first."""
        server = self.part("fork server")
        with contextlib.suppress(psutil.NoSuchProcess):
            return sorted(server.children() if server else [], key=lambda process: (process.create_time(), process.pid))
        return []

    def is_serving(self) -> bool:
        """Whether the API says that it can serve."""
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5, trust_env=False).is_success
        except httpx.HTTPError:
            return False

    def _is_ready(self) -> bool:
        if self.process.poll() is not None:
            self._reader.join(timeout=5)
            raise RuntimeError(f"modelpool up ended with {self.process.returncode}:\n" + "\n".join(self.lines))
        return any("ready after" in line for line in self.lines)

    def _read(self) -> None:
        if self.process.stdout is None:
            return
        with self.process.stdout:
            for line in self.process.stdout:
                self.lines.append(line.rstrip())
