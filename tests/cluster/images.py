"""Images for the cluster, built with buildah, without any registry.

The base is made by debootstrap and stored under the name that Dockerfiles give their base, so that the Dockerfile that users build is the very one that
runs in tests. Layers are kept in a storage of the cache's own: nobody's other images are touched, and only what changed is built again.
"""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cluster import dependencies
from cluster.errors import ClusterError
from cluster.layers import StoredImage, find_layers
from cluster.machine import run
from cluster.progress import Report, silent

BASE = "docker.io/library/debian:bookworm-slim"
RELEASE = "bookworm"
MIRROR_VARIABLE = "DEBIAN_MIRROR"
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
SERVICES = ("redis", "nginx")
PARTS = ("operator", "api", "worker")
REPOSITORY = Path(__file__).parents[2]
DOCKERFILES = Path(__file__).parent / "dockerfiles"
BUILD_SECONDS = 3600
# What a base image has no use for; most of it is documentation.
UNNEEDED = (
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "usr/share/info",
    "var/cache/apt",
    "var/lib/apt/lists",
)


@dataclass(frozen=True)
class ImageStore:
    """Images on disk, below the cache."""

    cache: Path
    report: Report = silent

    @property
    def folder(self) -> Path:
        """Where images and archives lie."""
        return self.cache / "images"

    def build_base(self) -> None:
        """Make the Debian base unless the store has it: once per cache. Raises ClusterError when debootstrap is missing or fails."""
        dependencies.require(*dependencies.IMAGES)
        if self.digest(BASE):
            return
        self.report(f"making {BASE} with debootstrap")
        mirror = os.environ.get(MIRROR_VARIABLE)  # debootstrap has one of its own
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=".base-") as folder:
            root = Path(folder) / "root"
            run("debootstrap", "--variant=minbase", RELEASE, root, *([mirror] if mirror else []), seconds=BUILD_SECONDS)
            for unneeded in UNNEEDED:
                run("find", root / unneeded, "-mindepth", "1", "-delete")
            container = self._buildah("from", "scratch").strip()
            try:
                self._buildah("add", "--quiet", container, str(root), "/", seconds=BUILD_SECONDS)
                self._buildah(
                    "config",
                    "--cmd",
                    "bash",
                    "--env",
                    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                    container,
                )
                self._buildah("commit", "--quiet", container, BASE, seconds=BUILD_SECONDS)
            finally:
                self._buildah("rm", container)

    def build(
        self,
        tag: str,
        dockerfile: Path,
        context: Path,
        target: str | None = None,
        arguments: Mapping[str, str] | None = None,
    ) -> str:
        """Build one target of a Dockerfile as `tag`, on the local base alone, and return the image's id.

        Programs in the build trust the authorities that this machine trusts, and find pip's index where this machine finds it.
        """
        self.build_base()
        self.report(f"building {tag}")
        with tempfile.TemporaryDirectory(prefix="modelpool-build-") as folder:
            command = ["bud", "--quiet", "--isolation=chroot", "--network=host", "--pull-never", "--layers"]
            command += [f"--file={dockerfile}", f"--tag={tag}", *([f"--target={target}"] if target else [])]
            command += [f"--build-arg={key}={value}" for key, value in (arguments or {}).items()]
            command += [f"--volume={volume}" for volume in _trust(Path(folder), AUTHORITIES)]
            self._buildah(*command, str(context), seconds=BUILD_SECONDS)
            # The layers of a build that failed, or of an image that has this tag no more, weigh gigabytes.
            self._buildah("rmi", "--prune", seconds=BUILD_SECONDS)
        return self.digest(tag)

    def build_part(self, part: str, version: str, revision: str) -> str:
        """Build the operator, the API or the worker from the repository's Dockerfile, as `modelpool/PART:VERSION`, and return that name."""
        tag = f"docker.io/modelpool/{part}:{version}"
        arguments = {"VERSION": version, "REVISION": revision}
        self.build(tag, REPOSITORY / "Dockerfile", REPOSITORY, part, arguments)
        return tag

    def build_service(self, name: str) -> str:
        """Build one of the services that the chart takes from elsewhere, as `modelpool-test/NAME:1`, and return that name."""
        tag = f"docker.io/modelpool-test/{name}:1"
        self.build(tag, DOCKERFILES / f"{name}.Dockerfile", DOCKERFILES)
        return tag

    def find(self, tag: str) -> StoredImage:
        """The image with its layers. Raises ClusterError when it has not been built."""
        if not self.digest(tag):
            raise ClusterError(f"{tag} has not been built")
        config = self._buildah("inspect", "--type=image", "--format={{.Config}}", tag)
        return find_layers(self._storage, tag, config)

    def digest(self, tag: str) -> str:
        """The image's id; "" when the store has no such image."""
        return (
            self._buildah("images", "--quiet", "--no-trunc", "--filter", f"reference={tag}")
            .strip()
            .removeprefix("sha256:")
        )

    def size(self, tag: str) -> int:
        """Bytes of the image's layers, uncompressed."""
        return sum(layer.size for layer in self.find(tag).layers)

    @property
    def _storage(self) -> Path:
        return self.folder / "storage"

    def _buildah(self, *arguments: str, seconds: float = 300) -> str:
        return run(*self._command(*arguments), seconds=seconds)

    def _command(self, *arguments: str) -> list[str]:
        storage = (f"--root={self._storage}", f"--runroot={self.folder / 'run'}", "--storage-driver=overlay")
        return ["buildah", *storage, *arguments]


def _trust(folder: Path, authorities: Path) -> list[str]:
    """Volumes of a build: the authorities of this machine where it has some, and pip's settings."""
    known = authorities.exists()
    settings = ["[global]", *(["cert = /run/build-ca.crt"] if known else [])]
    for variable, key in (("PIP_INDEX_URL", "index-url"), ("PIP_EXTRA_INDEX_URL", "extra-index-url")):
        if value := os.environ.get(variable):
            settings.append(f"{key} = {value}")
    configuration = folder / "pip.conf"
    configuration.write_text("\n".join(settings) + "\n")
    return [*([f"{authorities}:/run/build-ca.crt:ro"] if known else []), f"{configuration}:/etc/pip.conf:ro"]
