"""A `modelpool up` of our own: started for the demonstration on a free port, measured, and stopped again."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from modelpool_local import launch
from modelpool_local.exits import CommandFailed, Exit

START_SECONDS = 300.0
STOP_SECONDS = 60.0
READY = "ready after"
"""What `modelpool up` says when it is."""


class Service:
    """Use as a context manager; it is stopped at the end whatever happens."""

    def __init__(self, pool_file: Path, models: Path, state: Path, more: Sequence[str] = ()) -> None:
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.paid_key = secrets.token_urlsafe(24)
        self.state = state
        self.exit_code: int | None = None
        self._lines: deque[str] = deque(maxlen=200)
        self._ready = threading.Event()
        self._command = [
            # Should the demonstration be killed, the service drains and ends.
            *(sys.executable, "-S", "-E", launch.__file__, str(os.getpid()), str(int(signal.SIGTERM))),
            *(sys.executable, "-m", "modelpool_cli", "up", "--plain"),
            *("-f", str(pool_file)),
            *("--models", str(models)),
            *("--port", str(self.port)),
            *("--state", str(state)),
            *("--api-keys", str(self._write_keys())),
            *more,
        ]
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    def __enter__(self) -> Service:
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # Ctrl-C is for the demonstration, which then stops the service
        )
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Process id of the supervisor."""
        if self._process is None:
            raise RuntimeError("the service has not been started")
        return self._process.pid

    @property
    def lines(self) -> list[str]:
        """What it said last."""
        return list(self._lines)

    def wait_until_ready(self, show: Callable[[str], None]) -> None:
        """Return when it serves; ``show`` gets its latest line now and then.

        :raises CommandFailed: it ended instead, with its own exit code, or takes too long.
        """
        waited = 0.0
        while not self._ready.wait(0.2):
            waited += 0.2
            show(self._lines[-1] if self._lines else "starting")
            if self._process is not None and (code := self._process.poll()) is not None:
                raise CommandFailed(_exit_of(code), self._last_words())
            if waited > START_SECONDS:
                raise CommandFailed(Exit.START_FAILED, f"not ready after {START_SECONDS:g} s; {self._last_words()}")

    def stop(self) -> None:
        """Ask it to drain and end; end it if it does not."""
        if self._process is None or self.exit_code is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self.exit_code = self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self.exit_code = self._process.wait()
        if self._reader is not None:
            self._reader.join(timeout=5)

    def pss_bytes(self) -> int:
        """Proportional set size of supervisor, Redis, API, operator, fork server and workers: shared pages count once.

        0 when they have ended.
        """
        import psutil

        try:
            supervisor = psutil.Process(self.pid)
            family = [supervisor, *supervisor.children(recursive=True)]
        except psutil.NoSuchProcess:
            return 0
        total = 0
        for process in family:
            try:
                total += process.memory_full_info().pss
            except psutil.Error:
                continue  # it has just ended
        return total

    def _write_keys(self) -> Path:
        path = self.state.parent / "api-keys.yaml"
        path.touch(mode=0o600)
        path.write_text(f"keys:\n- {{name: demo, key: {self.paid_key!r}, lane: paid}}\n")
        return path

    def _read(self, process: subprocess.Popen[str]) -> None:
        if process.stdout is None:
            return
        with process.stdout:
            for line in process.stdout:
                self._lines.append(line.rstrip())
                if READY in line:
                    self._ready.set()

    def _last_words(self) -> str:
        return (self._lines[-1] if self._lines else "it said nothing").removeprefix("modelpool: ")


def _exit_of(code: int) -> Exit:
    try:
        return Exit(code)
    except ValueError:
        return Exit.START_FAILED


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
