"""One process kept alive: started, restarted after a crash with back-off, ended in good order."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from modelpool.slots import SlotPhase
from modelpool_local import launch
from modelpool_local.backoff import BackOff, BackOffPolicy


class Child(Protocol):
    """A running process, however it was started."""

    @property
    def pid(self) -> int:
        """Process id."""
        ...

    async def wait(self) -> int:
        """Exit code; negative for a signal."""
        ...

    def send(self, number: signal.Signals) -> None:
        """Send a signal; a process that has ended is no error."""
        ...


class Program:
    """A child started from an argument list; its output goes to a log file, and it dies with this process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(
        cls,
        arguments: Sequence[str],
        log: Path,
        *,
        environment: Mapping[str, str] | None = None,
        death_signal: signal.Signals = signal.SIGKILL,
    ) -> Program:
        """Start in a session of its own, so that Ctrl-C reaches only the supervisor."""
        wrapped = [sys.executable, "-S", "-E", launch.__file__, str(os.getpid()), str(int(death_signal)), *arguments]
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *wrapped,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )
        return cls(process)

    @property
    def pid(self) -> int:
        return self._process.pid

    async def wait(self) -> int:
        return await self._process.wait()

    def send(self, number: signal.Signals) -> None:
        if self._process.returncode is None:
            self._process.send_signal(number)


class Kept:
    """Keeps one child alive until told to stop. What it says goes to ``say``; its state is in the attributes."""

    def __init__(
        self,
        name: str,
        start: Callable[[], Awaitable[Child]],
        say: Callable[[str], None],
        *,
        policy: BackOffPolicy | None = None,
        grace: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.phase = SlotPhase.PENDING
        self.restarts = 0
        self.reason = ""
        self.since = _now_ms()
        self.ended = asyncio.Event()
        """Set when the child is gone for good."""
        self._start = start
        self._say = say
        self._back_off = BackOff(policy)
        self._grace = grace
        self._clock = clock
        self._child: Child | None = None
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._hung = ""
        self._killed = False

    @property
    def pid(self) -> int | None:
        """Of the running child, or None."""
        return self._child.pid if self._child else None

    @property
    def crashes_in_a_row(self) -> int:
        """Crashes since the child last lived long enough to count as healthy."""
        return self._back_off.crashes

    def begin(self) -> None:
        """Start, and keep going in the background."""
        self._task = asyncio.create_task(self._keep(), name=f"keep {self.name}")

    def kill(self) -> None:
        """End the child at once, without grace; one that is still being started, as soon as it is there."""
        self._stopping.set()
        self._killed = True
        if self._child is not None:
            self._child.send(signal.SIGKILL)

    def put_down(self, why: str) -> None:
        """End a child that hangs; another one is started as after a crash."""
        if self._child is not None:
            self._hung = why
            self._child.send(signal.SIGKILL)

    async def stop(self) -> None:
        """Ask the child to end; after the grace period, end it."""
        self._stopping.set()
        if self._task is None:
            self.ended.set()
            return
        self._become(SlotPhase.DRAINING)
        if self._child is not None:
            self._child.send(signal.SIGTERM)
        try:
            await asyncio.wait_for(asyncio.shield(self._task), self._grace)
        except TimeoutError:
            self._say(f"{self.name} did not end within {self._grace:g} s; killing it")
            self.kill()
            await self._task

    async def _keep(self) -> None:
        try:
            while not self._stopping.is_set():
                await self._live_once()
        finally:
            self.ended.set()

    async def _live_once(self) -> None:
        self._become(SlotPhase.STARTING)
        born = self._clock()
        try:
            self._child = await self._start()
        except Exception as error:  # whatever it was: a process that is given up silently is lost for ever
            outcome = f"could not be started: {str(error) or type(error).__name__}"
        else:
            if self._stopping.is_set():
                self._child.send(signal.SIGKILL if self._killed else signal.SIGTERM)
            else:
                self._become(SlotPhase.READY)
            outcome = describe_exit(await self._child.wait())
            self._child = None
            if self._hung:
                outcome, self._hung = f"was killed: {self._hung}", ""
        if self._stopping.is_set():
            return
        delay = self._back_off.crashed(self._clock() - born)
        self.restarts += 1
        self.reason = f"{outcome}; starts again in {delay:g} s"
        self._say(f"{self.name} {self.reason}")
        self._become(SlotPhase.RESTARTING)
        try:
            await asyncio.wait_for(self._stopping.wait(), delay)
        except TimeoutError:
            self.reason = outcome

    def _become(self, phase: SlotPhase) -> None:
        if phase is not self.phase:
            self.phase = phase
            self.since = _now_ms()


def describe_exit(code: int) -> str:
    """An exit code in words: ``exited with code 3``, ``was killed by SIGKILL``."""
    if code >= 0:
        return f"exited with code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def _now_ms() -> int:
    return int(time.time() * 1000)
