"""Where a cluster's files lie and what its things on the machine are called.

All names follow from the state folder: two clusters with different folders share nothing, and what a killed `up` left behind is found by the same names.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

STATE_VARIABLE = "MODELPOOL_CLUSTER_STATE"
CACHE_VARIABLE = "MODELPOOL_CLUSTER_CACHE"

CONTROL_PLANE = "control-plane"
NODES = ("node-1", "node-2")
MACHINES = (CONTROL_PLANE, *NODES)


def default_state() -> Path:
    """`$MODELPOOL_CLUSTER_STATE`, else `modelpool/cluster` in the user's state folder."""
    return _folder(STATE_VARIABLE, "XDG_STATE_HOME", ".local/state")


def default_cache() -> Path:
    """`$MODELPOOL_CLUSTER_CACHE`, else `modelpool/cluster` in the user's cache folder."""
    return _folder(CACHE_VARIABLE, "XDG_CACHE_HOME", ".cache")


def _folder(own: str, xdg: str, fallback: str) -> Path:
    if chosen := os.environ.get(own):
        return Path(chosen).expanduser().resolve()
    base = Path(os.environ.get(xdg) or Path.home() / fallback)
    return (base / "modelpool" / "cluster").resolve()


@dataclass(frozen=True)
class Layout:
    """The folders of one cluster, and the names that follow from them."""

    state: Path
    cache: Path

    @classmethod
    def default(cls) -> "Layout":
        """The cluster that `make cluster-up` starts."""
        return cls(default_state(), default_cache())

    @property
    def key(self) -> str:
        """Eight hexadecimal digits that tell this cluster's things from another's."""
        return hashlib.sha256(bytes(self.state)).hexdigest()[:8]

    @property
    def link(self) -> str:
        """The network interface on the host's side."""
        return f"mpl{self.key}"

    @property
    def cgroup(self) -> str:
        """The cgroup, below each hierarchy's root, that holds the cgroups of all pods."""
        return f"modelpool-{self.key}"

    @property
    def record(self) -> Path:
        """What `up` decided: written before anything is started."""
        return self.state / "cluster.json"

    @property
    def lock(self) -> Path:
        """Locked by whoever starts or stops this cluster. Beside the state folder, which comes and goes."""
        return self.state.with_name(self.state.name + ".lock")

    @property
    def kubeconfig(self) -> Path:
        """For the administrator."""
        return self.state / "admin.kubeconfig"

    @property
    def logs(self) -> Path:
        """One file per process."""
        return self.state / "logs"

    @property
    def audit_log(self) -> Path:
        """What the API server was asked, by whom, and what it answered: a JSON object a line."""
        return self.logs / "audit.log"

    @property
    def certificates(self) -> Path:
        """The authority, and what it signed."""
        return self.state / "certificates"

    @property
    def volumes(self) -> Path:
        """What PersistentVolumes hold; the same on every machine."""
        return self.state / "volumes"

    def machine(self, name: str) -> Path:
        """The folder of one machine."""
        return self.state / "machines" / name
