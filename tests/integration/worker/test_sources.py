from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from modelpool.errors import ModelLoadFailed
from modelpool.resources.models import Source
from modelpool_worker.sources import Sources
from support.worker import model


@pytest.fixture
def archive() -> bytes:
    """A pipeline folder in a tar file."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as tar:
        for name, content in (("flat/model_index.json", b"{}"), ("flat/unet/weights.safetensors", b"w" * 5000)):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return made.getvalue()


@pytest.fixture
def address(s3_url: str, s3_headers: dict[str, str], archive: bytes, monkeypatch: pytest.MonkeyPatch) -> str:
    """The archive in a bucket; the variables say where that is and who asks."""
    parts = urlsplit(s3_url)
    options = {name: values[0] for name, values in parse_qs(parts.query).items()}
    httpx.put(f"{options['endpoint']}/{parts.netloc}/models/flat.tar.gz", content=archive, headers=s3_headers)
    monkeypatch.setenv("AWS_ENDPOINT_URL", options["endpoint"])
    for name in ("region", "access_key_id", "secret_access_key"):
        monkeypatch.setenv(f"AWS_{name.upper()}", options[name])
    return f"s3://{parts.netloc}/models/flat.tar.gz"


def test_a_model_comes_out_of_a_bucket_once(tmp_path: Path, address: str, archive: bytes) -> None:
    flat = model("flat", source=Source(uri=address, sha256=hashlib.sha256(archive).hexdigest()))
    sources = Sources(tmp_path / "models", tmp_path / "cache")
    assert not sources.is_here(flat)
    with pytest.raises(ModelLoadFailed, match="has not been fetched"):
        sources.folder(flat)
    shares: list[float] = []
    sources.fetch(flat, shares.append)
    assert sources.is_here(flat)
    assert shares[-1] == 1.0
    assert (sources.folder(flat) / "unet" / "weights.safetensors").read_bytes() == b"w" * 5000


def test_a_bucket_without_the_archive_says_so(tmp_path: Path, address: str) -> None:
    missing = model("flat", source=Source(uri=f"{address}.old", sha256="0" * 64))
    with pytest.raises(ModelLoadFailed, match=r"models/flat\.tar\.gz\.old"):
        Sources(tmp_path / "models", tmp_path / "cache").fetch(missing, lambda share: None)


def test_an_archive_without_a_checksum_is_not_fetched(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadFailed, match="sha256"):
        Sources(tmp_path, tmp_path / "cache").fetch(
            model("flat", source=Source(uri="s3://bucket/flat.tar")), lambda share: None
        )
