"""Images as layers that are kept once and travel once."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from cluster.errors import ClusterError
from cluster.layers import StoredImage, keep_layers, write_archive

BASE, CODE = b"gigabytes of torch", b"kilobytes of code"


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def tar_of(files: dict[str, bytes]) -> io.BytesIO:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    out.seek(0)
    return out


def docker_archive(*layers: bytes) -> io.BytesIO:
    """As buildah writes it: layers, the configuration, and in the end the manifest."""
    names = [f"{digest(layer)}.tar" for layer in layers]
    config = json.dumps({"rootfs": {"diff_ids": [f"sha256:{digest(layer)}" for layer in layers]}}).encode()
    manifest = [{"Config": f"{digest(config)}.json", "RepoTags": ["example/worker:1"], "Layers": names}]
    files = dict(zip(names, layers, strict=True))
    return tar_of({**files, f"{digest(config)}.json": config, "manifest.json": json.dumps(manifest).encode()})


def written(image: StoredImage, folder: Path, without: tuple[str, ...] = ()) -> dict[str, bytes]:
    out = io.BytesIO()
    write_archive(out, image, folder, without)
    out.seek(0)
    with tarfile.open(fileobj=out) as tar:
        return {entry.name: tar.extractfile(entry).read() for entry in tar}  # type: ignore[union-attr]  # all are files


def test_an_image_leads_to_its_configuration_and_layers_and_every_blob_is_what_its_name_says(tmp_path: Path) -> None:
    image = keep_layers(docker_archive(BASE, CODE), tmp_path)
    files = written(image, tmp_path)
    for name, content in files.items():
        if name.startswith("blobs/sha256/"):
            assert name == f"blobs/sha256/{digest(content)}"
    (entry,) = json.loads(files["index.json"])["manifests"]
    assert entry["annotations"]["io.containerd.image.name"] == "example/worker:1"
    manifest = json.loads(files[f"blobs/{entry['digest'].replace(':', '/')}"])
    assert [files[f"blobs/{layer['digest'].replace(':', '/')}"] for layer in manifest["layers"]] == [BASE, CODE]
    assert [layer["size"] for layer in manifest["layers"]] == [len(BASE), len(CODE)]
    config = json.loads(files[f"blobs/{manifest['config']['digest'].replace(':', '/')}"])
    assert config["rootfs"]["diff_ids"] == [layer["digest"] for layer in manifest["layers"]]


def test_a_layer_that_a_node_has_stays_at_home_and_is_still_named(tmp_path: Path) -> None:
    image = keep_layers(docker_archive(BASE, CODE), tmp_path)
    files = written(image, tmp_path, without=(digest(BASE),))
    assert BASE not in files.values()
    assert CODE in files.values()
    assert written(image, tmp_path)["index.json"] == files["index.json"]


def test_a_layer_of_two_images_is_kept_once(tmp_path: Path) -> None:
    first = keep_layers(docker_archive(BASE, CODE), tmp_path)
    second = keep_layers(docker_archive(BASE, b"other code"), tmp_path)
    assert first.layers[0] == second.layers[0]
    assert {path.name for path in tmp_path.iterdir()} == {digest(BASE), digest(CODE), digest(b"other code")}


@pytest.mark.parametrize("manifest", [{}, {"manifest.json": b"[]"}])
def test_an_archive_without_an_image_is_refused(manifest: dict[str, bytes], tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="of one image was expected, and it holds 0"):
        keep_layers(tar_of({"readme": b"nothing here", **manifest}), tmp_path)
