"""Images of one static program, written without any tool: what a cluster needs before it can run anything."""

import gzip
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Sequence
from pathlib import Path

from cluster.errors import ClusterError
from cluster.machine import run

BUSYBOX = Path("/bin/busybox")
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def write_busybox_image(archive: Path, reference: str, entrypoint: Sequence[str] = ()) -> None:
    """Write an OCI archive of an image that holds the machine's static busybox under all its names.

    Raises ClusterError when there is no static busybox.
    """
    if not BUSYBOX.exists():
        raise ClusterError("no static busybox in /bin: run make cluster-deps")
    links = [name for name in run(BUSYBOX, "--list").split() if name != BUSYBOX.name]
    write_program_image(archive, reference, BUSYBOX, entrypoint, links)


def write_program_image(
    archive: Path, reference: str, program: Path, entrypoint: Sequence[str], links: Sequence[str] = ()
) -> None:
    """Write an OCI archive of an image that holds one static program in /bin, also under the names of `links`."""
    layer = _layer(program, links)
    compressed = gzip.compress(layer, compresslevel=1, mtime=0)
    config = {
        "architecture": ARCHITECTURES.get(os.uname().machine, os.uname().machine),
        "os": "linux",
        "config": {"Entrypoint": list(entrypoint), "Cmd": ["sh"], "Env": ["PATH=/bin"], "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
    }
    blobs: dict[str, bytes] = {}

    def blob(content: bytes, kind: str) -> dict[str, object]:
        blobs[_digest(content)] = content
        return {"mediaType": kind, "digest": _digest(content), "size": len(content)}

    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": blob(json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json"),
        "layers": [blob(compressed, "application/vnd.oci.image.layer.v1.tar+gzip")],
    }
    entry = blob(json.dumps(manifest).encode(), "application/vnd.oci.image.manifest.v1+json")
    entry["annotations"] = {"io.containerd.image.name": reference, "org.opencontainers.image.ref.name": reference}
    index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [entry]}
    with tarfile.open(archive, "w") as tar:
        _add(tar, "oci-layout", json.dumps({"imageLayoutVersion": "1.0.0"}).encode())
        _add(tar, "index.json", json.dumps(index).encode())
        for digest, content in blobs.items():
            _add(tar, f"blobs/{digest.replace(':', '/')}", content)


def _layer(program: Path, links: Sequence[str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        _add(tar, f"bin/{program.name}", program.read_bytes(), mode=0o755)
        for name in links:
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, program.name
            tar.addfile(link)
        for folder, mode in (("tmp", 0o1777), ("etc", 0o755), ("var", 0o755)):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            tar.addfile(entry)
    return buffer.getvalue()


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    entry.mode = mode
    tar.addfile(entry, io.BytesIO(content))


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
