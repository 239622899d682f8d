"""Images written without any tool."""

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path

from cluster.oci import write_program_image


def test_an_archive_holds_the_program_under_its_names_and_every_blob_under_its_digest(tmp_path: Path) -> None:
    program = tmp_path / "tool"
    program.write_bytes(b"machine code")
    archive = tmp_path / "image.tar"

    write_program_image(archive, "example/tool:1", program, ["/bin/tool"], links=["alias"])

    with tarfile.open(archive) as tar:
        files = {entry.name: tar.extractfile(entry).read() for entry in tar}  # type: ignore[union-attr]  # all are files
    for name, content in files.items():
        if name.startswith("blobs/sha256/"):
            assert name == f"blobs/sha256/{hashlib.sha256(content).hexdigest()}"
    (entry,) = json.loads(files["index.json"])["manifests"]
    assert entry["annotations"]["io.containerd.image.name"] == "example/tool:1"
    manifest = json.loads(files[_blob(entry["digest"])])
    config = json.loads(files[_blob(manifest["config"]["digest"])])
    assert config["config"]["Entrypoint"] == ["/bin/tool"]
    layer = gzip.decompress(files[_blob(manifest["layers"][0]["digest"])])
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        assert tar.getmember("bin/tool").mode & 0o111
        assert tar.getmember("bin/alias").linkname == "tool"


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"
