"""Images as the folders of their layers, unpacked on disk, and what else a node must be told to have such an image.

A worker's image is gigabytes of torch below kilobytes of our code. buildah has its layers unpacked already, in the way
overlayfs wants them, and so does containerd: a node gets names for the same files, and nothing is packed, sent or written again.
"""

import hashlib
import io
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from cluster.errors import ClusterError
from cluster.machine import run

COPY_SECONDS = 600


@dataclass(frozen=True)
class Layer:
    """One layer of an image, unpacked."""

    digest: str
    """SHA-256 of its tar (64 hexadecimal digits)."""
    folder: Path
    """Its files; what it removes from the layers below is said in overlayfs's way."""
    size: int
    """Bytes of its tar."""


@dataclass(frozen=True)
class StoredImage:
    """An image whose layers lie unpacked on disk."""

    name: str
    config: str
    layers: tuple[Layer, ...]
    """The lowest first."""

    def chain(self) -> list[str]:
        """Names of what each layer makes with all below it, the lowest first: the chain ids of the OCI image specification."""
        names: list[str] = []
        for layer in self.layers:
            own = f"sha256:{layer.digest}"
            names.append(f"sha256:{_digest(f'{names[-1]} {own}'.encode())}" if names else own)
        return names


def find_layers(storage: Path, name: str, config: str) -> StoredImage:
    """The image of this configuration, with the layers that an overlay storage of buildah's has for it.

    Raises ClusterError when one is not there.
    """
    records = json.loads((storage / "overlay-layers" / "layers.json").read_text())
    kept = {record.get("diff-digest"): record for record in records}
    layers = []
    for digest in json.loads(config)["rootfs"]["diff_ids"]:
        record = kept.get(digest)
        folder = storage / "overlay" / record["id"] / "diff" if record else None
        if record is None or folder is None or not folder.is_dir():
            raise ClusterError(f"{name}: layer {digest} is not in {storage}; build the image again")
        layers.append(Layer(digest.removeprefix("sha256:"), folder, record["diff-size"]))
    return StoredImage(name, config, tuple(layers))


def place(layer: Layer, folder: Path) -> None:
    """Have the layer's files in a folder too: as further names of them, or as copies where the folder is on another disk."""
    same = layer.folder.stat().st_dev == folder.stat().st_dev
    run(
        "cp",
        "--archive",
        "--no-target-directory",
        *(["--link"] if same else []),
        layer.folder,
        folder,
        seconds=COPY_SECONDS,
    )


def write_description(out: IO[bytes], image: StoredImage) -> None:
    """Write an OCI archive of the image without any layer to a stream: enough for who has the layers unpacked."""
    described = _manifest(image)
    entry = _entry("application/vnd.oci.image.manifest.v1+json", _digest(described), len(described))
    entry["annotations"] = {"io.containerd.image.name": image.name}
    index = _document("application/vnd.oci.image.index.v1+json", manifests=[entry])
    with tarfile.open(fileobj=out, mode="w|") as tar:
        _add(tar, "oci-layout", json.dumps({"imageLayoutVersion": "1.0.0"}).encode())
        _add(tar, "index.json", index)
        for blob in (described, image.config.encode()):
            _add(tar, f"blobs/sha256/{_digest(blob)}", blob)


def _manifest(image: StoredImage) -> bytes:
    return _document(
        "application/vnd.oci.image.manifest.v1+json",
        config=_entry(
            "application/vnd.oci.image.config.v1+json", _digest(image.config.encode()), len(image.config.encode())
        ),
        layers=[_entry("application/vnd.oci.image.layer.v1.tar", layer.digest, layer.size) for layer in image.layers],
    )


def _document(kind: str, **content: object) -> bytes:
    return json.dumps({"schemaVersion": 2, "mediaType": kind, **content}).encode()


def _entry(kind: str, digest: str, size: int) -> dict[str, Any]:
    return {"mediaType": kind, "digest": f"sha256:{digest}", "size": size}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))
