"""Processes of the machine this runs on, as /proc shows them."""

import os
import select
import signal
from pathlib import Path


def all_pids() -> list[int]:
    """Every process that exists now."""
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def has_ended(pid: int) -> bool:
    """Whether a process is gone, or only waits for its parent to hear of it.

    Not told by an empty command line: a process that is just becoming another program has one, too.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True
    return next((line.split()[1] in "ZX" for line in status.splitlines() if line.startswith("State:")), True)


def command_line(pid: int) -> list[str]:
    """The arguments of a process; none for kernel threads, zombies and processes that are gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
    except OSError:
        return []


def pid_namespace(pid: int) -> int | None:
    """The inode of the process's pid namespace; None when it is gone."""
    try:
        return Path(f"/proc/{pid}/ns/pid").stat().st_ino
    except OSError:
        return None


def inner_pid(pid: int) -> int | None:
    """The process's number in its own, innermost pid namespace; None when it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    return next((int(line.split()[-1]) for line in status.splitlines() if line.startswith("NSpid:")), None)


def end(pid: int, number: signal.Signals, seconds: float) -> bool:
    """Send a signal and wait until the process is gone; False if it is not within `seconds`."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        signal.pidfd_send_signal(handle, number)
        return bool(select.select([handle], [], [], seconds)[0])
    except ProcessLookupError:
        return True
    finally:
        os.close(handle)
