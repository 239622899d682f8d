"""The cgroups that a node's pods live in, below a folder of the cluster's own; for cgroup v1, hybrid and v2."""

import os
import time
from pathlib import Path

from cluster.errors import ClusterError

ROOT = Path("/sys/fs/cgroup")
REMOVE_SECONDS = 30


def make(name: str) -> None:
    """Make a cgroup, its parents with it, in every hierarchy."""
    if _unified():
        folder = ROOT
        for part in Path(name).parts:
            controllers = (folder / "cgroup.controllers").read_text().split()
            (folder / "cgroup.subtree_control").write_text(" ".join(f"+{controller}" for controller in controllers))
            folder /= part
            folder.mkdir(exist_ok=True)
        return
    for hierarchy in _hierarchies():
        folder = hierarchy
        for part in Path(name).parts:
            parent, folder = folder, folder / part
            folder.mkdir(exist_ok=True)
            for file in ("cpuset.cpus", "cpuset.mems"):
                # An empty set is what a new cpuset has, and nothing can run in it.
                if (folder / file).exists() and not (folder / file).read_text().strip():
                    (folder / file).write_text((parent / file).read_text())


def find(name: str) -> list[Path]:
    """The cgroup's folders and all below them, innermost first."""
    found = []
    for hierarchy in [ROOT] if _unified() else _hierarchies():
        for folder, _, _ in os.walk(hierarchy / name, topdown=False):
            found.append(Path(folder))
    return found


def remove(name: str) -> None:
    """Remove the cgroup and all below it; their processes have ended or are about to. Raises ClusterError if some stay."""
    deadline = time.monotonic() + REMOVE_SECONDS
    while left := find(name):
        for folder in left:
            try:
                folder.rmdir()
            except OSError as error:
                if time.monotonic() > deadline:
                    raise ClusterError(f"the cgroup {folder} cannot be removed: {error.strerror}") from error
                time.sleep(0.02)
                break


def _unified() -> bool:
    return (ROOT / "cgroup.controllers").exists()


def _hierarchies() -> list[Path]:
    return [folder for folder in sorted(ROOT.iterdir()) if folder.is_dir() and not folder.is_symlink()]
