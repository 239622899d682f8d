from __future__ import annotations

import hashlib
import io
import shutil
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from obstore.store import MemoryStore

from modelpool.errors import ModelLoadFailed
from modelpool_worker import archives
from modelpool_worker.archives import fetch, unpacked

KEY = "models/flat.tar.gz"


def tar(*members: tuple[str, bytes], mode: str = "w:gz") -> bytes:
    """An archive with these files."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return made.getvalue()


PIPELINE = tar(("model_index.json", b"{}"), ("unet/weights.safetensors", b"w" * 100_000))


def bucket_with(content: bytes) -> tuple[MemoryStore, str]:
    bucket = MemoryStore()
    bucket.put(KEY, content)
    return bucket, hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("prefix", ["", "./", "flat/"])
@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_an_archive_becomes_a_pipeline_folder(tmp_path: Path, prefix: str, mode: str) -> None:
    content = tar((f"{prefix}model_index.json", b"{}"), (f"{prefix}vae/w.safetensors", b"123"), mode=mode)
    bucket, sha256 = bucket_with(content)
    folder = fetch(bucket, KEY, sha256, tmp_path, lambda share: None)
    assert (folder / "vae" / "w.safetensors").read_bytes() == b"123"
    assert unpacked(tmp_path, sha256) == folder


def test_progress_grows_up_to_the_end_however_many_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "PIECE_BYTES", 50)
    bucket, sha256 = bucket_with(PIPELINE)
    shares: list[float] = []
    fetch(bucket, KEY, sha256, tmp_path, shares.append)
    assert len(shares) > 3
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_what_is_there_is_not_fetched_again(tmp_path: Path) -> None:
    bucket, sha256 = bucket_with(PIPELINE)
    folder = fetch(bucket, KEY, sha256, tmp_path, lambda share: None)
    bucket.delete(KEY)
    assert fetch(bucket, KEY, sha256, tmp_path, lambda share: None) == folder


def test_another_content_than_promised_is_refused_and_nothing_stays(tmp_path: Path) -> None:
    bucket, _ = bucket_with(PIPELINE)
    with pytest.raises(ModelLoadFailed, match="SHA-256"):
        fetch(bucket, KEY, "0" * 64, tmp_path, lambda share: None)
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []


def with_link(name: str, target: str) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname = tarfile.SYMTYPE, target
        archive.addfile(entry)
    return made.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        tar(("../outside", b"x")),
        tar(("/etc/outside", b"x")),
        tar(("a/../../outside", b"x")),
        with_link("unet", "/etc"),
    ],
    ids=["up", "absolute", "up from within", "link"],
)
def test_an_archive_that_reaches_outside_its_folder_is_refused(tmp_path: Path, content: bytes) -> None:
    bucket, sha256 = bucket_with(content)
    cache = tmp_path / "cache"
    with pytest.raises(ModelLoadFailed, match="refused"):
        fetch(bucket, KEY, sha256, cache, lambda share: None)
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"not a tar file", "no tar file"), (PIPELINE[:-200], "no tar file"), (tar(("readme", b"x")), "no diffusers")],
    # An archive has its time in it, and every process must know a test by the same name.
    ids=["no archive", "broken off", "no model"],
)
def test_what_is_no_pipeline_is_refused_with_the_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    bucket, sha256 = bucket_with(content)
    with pytest.raises(ModelLoadFailed, match=reason):
        fetch(bucket, KEY, sha256, tmp_path, lambda share: None)
    assert unpacked(tmp_path, sha256) is None


def test_an_archive_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadFailed, match=KEY):
        fetch(MemoryStore(), KEY, "0" * 64, tmp_path, lambda share: None)


def test_a_full_disk_is_noticed_before_the_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket, sha256 = bucket_with(PIPELINE)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1))
    with pytest.raises(ModelLoadFailed, match="are free"):
        fetch(bucket, KEY, sha256, tmp_path, lambda share: None)


def test_workers_that_share_a_cache_fetch_once(tmp_path: Path) -> None:
    bucket, sha256 = bucket_with(PIPELINE)
    downloads: list[float] = []

    def worker() -> Path:
        return fetch(bucket, KEY, sha256, tmp_path, lambda share: downloads.append(share) if share < 1 else None)

    with ThreadPoolExecutor(3) as workers:
        folders = {each.result() for each in [workers.submit(worker) for _ in range(3)]}
    assert folders == {tmp_path / sha256}
    assert len(downloads) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [sha256, f"{sha256}.lock"]
