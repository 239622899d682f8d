"""Images as layers on disk, each kept once, and archives of just the layers that a node lacks.

A worker's image is gigabytes of torch below kilobytes of our code: what a node has must not travel to it again.
"""

import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from cluster.errors import ClusterError

CHUNK = 1 << 20


@dataclass(frozen=True)
class StoredImage:
    """An image whose layers are kept, uncompressed, in a folder under their digests."""

    name: str
    config: str
    layers: tuple[str, ...]
    """Digests (64 hexadecimal digits), the lowest first."""


def keep_layers(archive: IO[bytes], folder: Path) -> StoredImage:
    """Read a docker archive from a stream and keep its layers in `folder`, but for those that are there.

    Raises ClusterError when it is not an archive of one image.
    """
    folder.mkdir(parents=True, exist_ok=True)
    texts: dict[str, str] = {}
    with tarfile.open(fileobj=archive, mode="r|", bufsize=CHUNK) as tar:
        for member in tar:
            content = tar.extractfile(member) if member.isreg() else None
            if content is None:
                continue
            if member.name.endswith(".json"):
                texts[member.name] = content.read().decode()
            elif member.name.endswith(".tar"):
                _keep(content, folder / member.name.removesuffix(".tar"))
    manifest: list[Any] = json.loads(texts.get("manifest.json", "[]"))
    if len(manifest) != 1:
        raise ClusterError(f"an archive of one image was expected, and it holds {len(manifest)}")
    [entry] = manifest
    layers = tuple(layer.removesuffix(".tar") for layer in entry["Layers"])
    return StoredImage(entry["RepoTags"][0], texts[entry["Config"]], layers)


def write_archive(out: IO[bytes], image: StoredImage, folder: Path, without: Collection[str] = ()) -> None:
    """Write an OCI archive of the image to a stream, but for the layers in `without`."""
    layers = [
        _entry("application/vnd.oci.image.layer.v1.tar", layer, (folder / layer).stat().st_size)
        for layer in image.layers
    ]
    config = image.config.encode()
    manifest = _document(
        "application/vnd.oci.image.manifest.v1+json",
        config=_entry("application/vnd.oci.image.config.v1+json", _digest(config), len(config)),
        layers=layers,
    )
    entry = _entry("application/vnd.oci.image.manifest.v1+json", _digest(manifest), len(manifest))
    entry["annotations"] = {"io.containerd.image.name": image.name}
    index = _document("application/vnd.oci.image.index.v1+json", manifests=[entry])
    with tarfile.open(fileobj=out, mode="w|", bufsize=CHUNK) as tar:
        _add(tar, "oci-layout", json.dumps({"imageLayoutVersion": "1.0.0"}).encode())
        _add(tar, "index.json", index)
        for blob in (manifest, config):
            _add(tar, f"blobs/sha256/{_digest(blob)}", blob)
        for layer in dict.fromkeys(image.layers):
            if layer not in without:
                tar.add(folder / layer, f"blobs/sha256/{layer}")


def _keep(content: IO[bytes], path: Path) -> None:
    if path.exists():
        return
    unfinished = path.with_suffix(".unfinished")
    with unfinished.open("wb") as out:
        shutil.copyfileobj(content, out, CHUNK)
    unfinished.rename(path)


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
