"""Images that nodes take over from the disk of whoever built them."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from cluster.errors import ClusterError
from cluster.layers import StoredImage, find_layers, place, write_description

BASE, CODE = hashlib.sha256(b"torch").hexdigest(), hashlib.sha256(b"our code").hexdigest()
CONFIG = json.dumps({"rootfs": {"diff_ids": [f"sha256:{BASE}", f"sha256:{CODE}"]}})
NAME = "example/worker:1"


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    """As buildah keeps it: a record for each layer, and its files unpacked in a folder of the record's id."""
    records = []
    for id, digest, size in (("first", BASE, 6000), ("second", CODE, 20)):
        records.append({"id": id, "diff-digest": f"sha256:{digest}", "diff-size": size})
        files = tmp_path / "overlay" / id / "diff"
        files.mkdir(parents=True)
        (files / "file").write_text(id)
    (tmp_path / "overlay-layers").mkdir()
    (tmp_path / "overlay-layers" / "layers.json").write_text(json.dumps([{"id": "unfinished"}, *records]))
    return tmp_path


def described(image: StoredImage) -> dict[str, bytes]:
    out = io.BytesIO()
    write_description(out, image)
    out.seek(0)
    with tarfile.open(fileobj=out) as tar:
        return {entry.name: tar.extractfile(entry).read() for entry in tar}  # type: ignore[union-attr]  # all are files


def test_an_image_s_layers_are_found_lowest_first(storage: Path) -> None:
    image = find_layers(storage, NAME, CONFIG)
    assert [(layer.digest, layer.size, (layer.folder / "file").read_text()) for layer in image.layers] == [
        (BASE, 6000, "first"),
        (CODE, 20, "second"),
    ]


def test_a_layer_that_is_not_there_is_named_and_so_is_the_cure(storage: Path) -> None:
    other = json.dumps({"rootfs": {"diff_ids": [f"sha256:{'0' * 64}"]}})
    with pytest.raises(
        ClusterError, match=f"example/worker:1: layer sha256:{'0' * 64} is not in .*build the image again"
    ):
        find_layers(storage, NAME, other)


def test_each_layer_with_what_is_below_it_has_the_name_of_the_specification(storage: Path) -> None:
    both = hashlib.sha256(f"sha256:{BASE} sha256:{CODE}".encode()).hexdigest()
    assert find_layers(storage, NAME, CONFIG).chain() == [f"sha256:{BASE}", f"sha256:{both}"]


def test_the_description_leads_to_configuration_and_layers_and_carries_none_of_them(storage: Path) -> None:
    files = described(find_layers(storage, NAME, CONFIG))
    blobs = {name: content for name, content in files.items() if name.startswith("blobs/")}
    assert {f"blobs/sha256/{hashlib.sha256(content).hexdigest()}" for content in blobs.values()} == set(blobs)
    (entry,) = json.loads(files["index.json"])["manifests"]
    assert entry["annotations"]["io.containerd.image.name"] == NAME
    manifest = json.loads(files[f"blobs/{entry['digest'].replace(':', '/')}"])
    assert [(layer["digest"], layer["size"]) for layer in manifest["layers"]] == [
        (f"sha256:{BASE}", 6000),
        (f"sha256:{CODE}", 20),
    ]
    assert files[f"blobs/{manifest['config']['digest'].replace(':', '/')}"].decode() == CONFIG
    assert len(blobs) == len(("manifest", "configuration"))


def test_a_layer_s_files_are_placed_without_a_copy_and_outlive_the_layer(storage: Path, tmp_path: Path) -> None:
    layer = find_layers(storage, NAME, CONFIG).layers[0]
    (layer.folder / "folder").mkdir(mode=0o700)
    (layer.folder / "link").symlink_to("file")
    target = tmp_path / "snapshot"
    target.mkdir()
    place(layer, target)
    assert (target / "file").stat().st_ino == (layer.folder / "file").stat().st_ino
    assert (target / "folder").stat().st_mode == (layer.folder / "folder").stat().st_mode
    assert (target / "link").readlink() == Path("file")
    (layer.folder / "file").unlink()
    assert (target / "file").read_text() == "first"
