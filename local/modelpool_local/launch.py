"""`python launch.py PARENT SIGNAL PROGRAM ARGUMENT…`: become PROGRAM, which the kernel ends when PARENT dies.

A separate program, because the supervisor has threads and code between fork and exec is unsafe in a process with threads.
The setting survives the exec. Imports as little as it can: every part of the service starts through here.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int, signal_number: int) -> None:
    """Ask the kernel for ``signal_number`` when the parent dies; exits at once if it already has."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    # The parent may have died before the call above, in which case no signal will ever come.
    if os.getppid() != parent:
        os._exit(1)


if __name__ == "__main__":
    die_with_parent(int(sys.argv[1]), int(sys.argv[2]))
    os.execvp(sys.argv[3], sys.argv[3:])  # noqa: S606  no shell is the point
