"""Keys, content types and URLs of the store."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelpool.errors import InvalidInput, ResultNotFound
from modelpool.store.keys import content_type, is_key, require_known, require_valid
from modelpool.store.memory import MemoryStore
from modelpool.store.open import open_store

GOOD = ["results/a.png", "inputs/0123abcd.png", "results/A_b-9.tar.gz", "results/-x"]
BAD = [
    "",
    "results",
    "results/",
    "results/..",
    "results/.hidden",
    "results/../inputs/a.png",
    "results/a/b.png",
    "/results/a.png",
    "other/a.png",
    "results/a.png\n",
    "results/a b",
    "results/ä.png",
    "results/%2e%2e",
    "results/" + "a" * 201,
    "results/a\x00",
    "results\\a",
]


@pytest.mark.parametrize("key", GOOD)
def test_ordinary_keys_are_accepted(key: str) -> None:
    assert is_key(key)
    require_valid(key)


@pytest.mark.parametrize("key", BAD)
def test_a_key_that_could_leave_its_folder_is_refused(key: str) -> None:
    assert not is_key(key)
    with pytest.raises(ResultNotFound, match="no such file"):
        require_known(key)
    with pytest.raises(ValueError, match="no store key"):
        require_valid(key)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("results/a.png", "image/png"),
        ("results/a.jpeg", "image/jpeg"),
        ("results/a.jpg", "image/jpeg"),
        ("results/a.webp", "image/webp"),
        ("results/a.mp4", "video/mp4"),
        ("results/a.html", "application/octet-stream"),
        ("results/a", "application/octet-stream"),
    ],
)
def test_content_type_follows_the_extension(key: str, expected: str) -> None:
    assert content_type(key) == expected


def test_memory_opens_by_url() -> None:
    assert isinstance(open_store("memory:"), MemoryStore)


def test_a_folder_is_made_when_missing(tmp_path: Path) -> None:
    open_store(f"file://{tmp_path}/new/folder with%20spaces")
    assert (tmp_path / "new" / "folder with spaces").is_dir()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("ftp://x/y", "'ftp' is not known"),
        ("results", "file:///folder"),
        ("file://relative/folder", "must be absolute"),
        ("s3:///prefix", "no bucket"),
        ("s3://bucket?key=1", "unknown option 'key'"),
    ],
)
def test_a_url_that_says_no_store_is_refused_with_the_cure(url: str, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        open_store(url)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InvalidInput, match="cannot be made"):
        open_store(f"file://{tmp_path}/file/folder")
