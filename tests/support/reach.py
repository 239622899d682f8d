"""Whether a Service of a cluster takes connections. That its pods are ready is not enough: a node hears of them a moment later."""

import sys
from collections.abc import Callable

from cluster.errors import ClusterError
from cluster.kubectl import Kubectl
from cluster.machine import run
from support.waiting import block_until

SECONDS = 60.0
POLL = 0.2
CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 2).close()"
GET = """
import sys, urllib.request as web
web.build_opener(web.ProxyHandler({})).open(sys.argv[1], timeout=5).close()
"""

Python = Callable[..., str]
"""Runs a program, given as text with its arguments, in some place, and returns what it prints; ClusterError when it fails."""


def python_here(program: str, *arguments: str) -> str:
    """A :data:`Python` on this machine."""
    return run(sys.executable, "-I", "-c", program, *arguments)


def until_taken(host: str, port: int, python: Python = python_here, seconds: float = SECONDS) -> None:
    """Wait until connections from there to a name or address are taken: nothing is asked, so it is not counted as a request."""
    block_until(lambda: _succeeds(python, CONNECT, host, str(port)), seconds, POLL, f"{host}:{port} takes connections")


def until_answered(url: str, python: Python = python_here, seconds: float = SECONDS) -> None:
    """Wait until a GET from there is answered well: also what stands behind a proxy is reached."""
    block_until(lambda: _succeeds(python, GET, url), seconds, POLL, f"{url} is answered")


def address_of(kubectl: Kubectl, service: str, namespace: str) -> str:
    """``address:port`` of a Service inside the cluster, as soon as connections from here are taken."""
    spec = kubectl.get("service", service, namespace)["spec"]
    host, port = spec["clusterIP"], spec["ports"][0]["port"]
    until_taken(host, port)
    return f"{host}:{port}"


def _succeeds(python: Python, program: str, *arguments: str) -> bool:
    try:
        python(program, *arguments)
    except ClusterError:
        return False
    return True
