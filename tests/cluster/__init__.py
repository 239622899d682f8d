"""A real Kubernetes cluster for tests on one Linux machine: control plane, two nodes, GPUs that a device plugin pretends.

`python -m cluster --help` (from `tests/`) is for people, `Cluster` for tests. Nothing here mocks Kubernetes: the programs are built from the Go
modules that `go/` pins, and run in namespaces of their own. docs/testing.md draws the picture.
"""

from cluster.cluster import Cluster
from cluster.errors import ClusterError

__all__ = ["Cluster", "ClusterError"]
