"""Parts of the service that are away for a while."""

from collections.abc import Iterator
from contextlib import contextmanager

from cluster.kubectl import Kubectl


@contextmanager
def scaled_away(kubectl: Kubectl, what: str, namespace: str) -> Iterator[None]:
    """Without the only pod of a Deployment or StatefulSet (``kind/name``), which is ready again afterwards."""
    here = f"--namespace={namespace}"
    kubectl("scale", what, here, "--replicas=0")
    try:
        yield
    finally:
        kubectl("scale", what, here, "--replicas=1")
        kubectl("rollout", "status", what, here, "--timeout=120s", seconds=130)
