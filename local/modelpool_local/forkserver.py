"""Workers are forked from one process that has imported torch, so that its memory is there once.

The fork server must do nothing but import: a thread, a torch operation or a CUDA call before the fork breaks the children.
When the supervisor is gone the kernel ends it, and its workers with it.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from modelpool_local.launch import die_with_parent
from modelpool_local.tied import SUPERVISOR

DEAF_TO = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, a closing terminal or a service manager reach the fork server too; it ends when the supervisor is gone."""


class Forked:
    """A running worker, child of the fork server."""

    def __init__(self, process: ForkServerProcess) -> None:
        self._process = process
        if process.pid is None:
            raise RuntimeError("the fork server started no process")
        self._pid = process.pid

    @property
    def pid(self) -> int:
        return self._pid

    async def wait(self) -> int:
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        # The sentinel becomes readable when the fork server reports the exit code, or has died itself.
        sentinel = self._process.sentinel
        loop.add_reader(sentinel, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(sentinel)
        self._process.join()
        return self._process.exitcode or 0

    def send(self, number: signal.Signals) -> None:
        if self._process.exitcode is None:
            with suppress(ProcessLookupError):
                os.kill(self._pid, number)


class ForkServer:
    """Starts children with ``preload`` imported. One per process, because Python has only one."""

    def __init__(self, preload: str | None, log: Path) -> None:
        self._log = log
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["modelpool_local.tied", *([preload] if preload else [])])
        os.environ[SUPERVISOR] = str(os.getpid())

    def start(self) -> None:
        """Start the server unless it runs; it imports in the background and takes orders when it has done so."""
        # The tracker comes first: starting it unblocks signals.
        resource_tracker.ensure_running()
        with _apart(self._log):
            forkserver.ensure_running()

    async def fork(self, log: Path, environment: dict[str, str], run: Callable[[Any], None], config: Any) -> Forked:
        """Start ``run(config)`` in a child whose output goes to ``log``. Waits until the server has imported."""
        self.start()
        process = self._context.Process(target=_become, args=(str(log), environment, run, config), daemon=False)
        # Blocks until the server answers, which takes seconds while it imports.
        await asyncio.to_thread(process.start)
        return Forked(process)


def _become(log: str, environment: dict[str, str], run: Callable[[Any], None], config: Any) -> None:
    """In the child: die with the fork server, leave the terminal, hear signals again, write to the log, then work."""
    die_with_parent(os.getppid(), signal.SIGKILL)
    os.setsid()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, DEAF_TO)
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    os.environ.update(environment)
    run(config)


@contextmanager
def _apart(log: Path) -> Iterator[None]:
    """What is started within writes to ``log`` and is deaf to signals meant for the whole process group.

    multiprocessing offers no way to say so; a child inherits blocked signals and descriptors 1 and 2. A signal that
    comes in the meantime is delivered to this process afterwards.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    saved = [os.dup(1), os.dup(2)]
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, DEAF_TO)
    try:
        os.dup2(output, 1)
        os.dup2(output, 2)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for target, descriptor in enumerate(saved, start=1):
            os.dup2(descriptor, target)
            os.close(descriptor)
        os.close(output)
