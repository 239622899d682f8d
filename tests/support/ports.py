"""Loopback ports for servers under test. Several processes run tests at one moment, and none is given another's port."""

import random
import socket
from collections.abc import Iterator

FIRST, BEHIND = 10_000, 30_000
"""Below what the kernel gives to connections (32768 and more) and Kubernetes to services (30000 and more)."""
BLOCK = 50


def unused_port() -> int:
    """A TCP port of the loopback interface on which nobody listened a moment ago, and which is given out once only."""
    for port in _PORTS:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise RuntimeError(f"all ports from {FIRST} to {BEHIND - 1} are taken or have been given out")


def _ports_of_this_process() -> Iterator[int]:
    """Block after block, each of one process until it ends."""
    blocks = list(range(FIRST, BEHIND, BLOCK))
    random.SystemRandom().shuffle(blocks)
    held: list[socket.socket] = []
    for block in blocks:
        # A name that one socket of the machine can have, and that the kernel frees with its process.
        held.append(socket.socket(socket.AF_UNIX))
        try:
            held[-1].bind(f"\0modelpool-tests-ports-{block}")
        except OSError:
            held.pop().close()
            continue
        yield from range(block, block + BLOCK)


_PORTS = _ports_of_this_process()
