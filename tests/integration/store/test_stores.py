"""The same behaviour of every store: memory, a folder, a real S3 server, a real nginx."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from modelpool.errors import ResultNotFound, StoreUnavailable
from modelpool.store.open import open_store
from modelpool.store.port import Store
from support import unused_port

LISTING = pytest.mark.parametrize("store_url", ["memory", "folder", "s3"], indirect=True)


@pytest.fixture(params=["memory", "folder", "s3", "http"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "memory":
        return "memory:"
    if request.param == "folder":
        return f"file://{tmp_path}/store"
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def store(store_url: str) -> Store:
    return open_store(store_url)


async def keys(store: Store, prefix: str) -> list[str]:
    return sorted([found.key async for found in store.list(prefix)])


async def test_what_was_put_can_be_read_back(store: Store) -> None:
    await store.put("results/a.png", b"\x00picture\xff")
    assert await store.get("results/a.png") == b"\x00picture\xff"
    found, data = await store.fetch("results/a.png")
    assert data == b"\x00picture\xff"
    assert found == await store.head("results/a.png")
    assert (found.key, found.size) == ("results/a.png", 9)
    assert found.etag
    assert '"' not in found.etag
    assert found.modified_at > 1_700_000_000_000


async def test_an_empty_object_and_a_large_one(store: Store) -> None:
    large = bytes(range(256)) * 4 * 8192  # 8 MiB, more than one part of a multipart upload
    await store.put("results/empty.png", b"")
    await store.put("results/large.mp4", large)
    assert await store.get("results/empty.png") == b""
    assert await store.get("results/large.mp4") == large


async def test_the_last_write_wins_whole(store: Store) -> None:
    bodies = [bytes([n]) * 50_000 for n in range(8)]
    await asyncio.gather(*(store.put("inputs/same.png", body) for body in bodies))
    assert await store.get("inputs/same.png") in bodies


async def test_the_etag_tells_contents_apart(store: Store) -> None:
    await store.put("inputs/a.png", b"1")
    before = (await store.head("inputs/a.png")).etag
    await store.put("inputs/a.png", b"two")
    assert (await store.head("inputs/a.png")).etag != before


@pytest.mark.parametrize("key", ["results/absent.png", "results/../secret", "/etc/passwd", "results/", "results/.."])
async def test_what_is_not_there_is_not_found(store: Store, key: str) -> None:
    for ask in (store.get, store.fetch, store.head):
        with pytest.raises(ResultNotFound):
            await ask(key)


@pytest.mark.parametrize("key", ["results/../outside.png", "/outside.png", "other/a.png"])
async def test_nothing_is_written_outside(store: Store, key: str) -> None:
    with pytest.raises(ValueError, match="no store key"):
        await store.put(key, b"1")


async def test_deleting_twice_is_no_error(store: Store) -> None:
    await store.put("results/a.png", b"1")
    await store.delete("results/a.png")
    await store.delete("results/a.png")
    await store.delete("results/../a")
    with pytest.raises(ResultNotFound):
        await store.get("results/a.png")


@LISTING
async def test_a_folder_lists_its_own_only(store: Store) -> None:
    assert await keys(store, "results") == []
    for key in ("results/a.png", "results/b.mp4", "inputs/c.png"):
        await store.put(key, b"1")
    assert await keys(store, "results") == ["results/a.png", "results/b.mp4"]
    assert await keys(store, "inputs/") == ["inputs/c.png"]


@LISTING
async def test_more_objects_than_one_page_are_all_listed(store: Store) -> None:
    names = [f"results/{n:04}.png" for n in range(1_050)]
    for start in range(0, len(names), 50):
        await asyncio.gather(*(store.put(name, b"1") for name in names[start : start + 50]))
    assert await keys(store, "results") == names


async def test_s3_keeps_the_content_type(s3_url: str, s3_endpoint: str, s3_headers: dict[str, str]) -> None:
    await open_store(s3_url).put("results/a.webp", b"1")
    bucket = s3_url.removeprefix("s3://").partition("/")[0]
    async with httpx.AsyncClient() as client:
        reply = await client.head(f"{s3_endpoint}/{bucket}/some/prefix/results/a.webp", headers=s3_headers)
    assert reply.headers["Content-Type"] == "image/webp"


async def test_a_folder_is_used_as_it_is_by_two_processes(tmp_path: Path) -> None:
    one, other = open_store(f"file://{tmp_path}"), open_store(f"file://{tmp_path}")
    await one.put("results/a.png", b"1")
    assert await other.get("results/a.png") == b"1"
    assert (tmp_path / "results" / "a.png").read_bytes() == b"1"


async def test_a_missing_bucket_is_a_store_that_is_away(s3_endpoint: str) -> None:
    store = open_store(f"s3://nowhere?endpoint={s3_endpoint}&access_key_id=test&secret_access_key=test")
    with pytest.raises(StoreUnavailable) as refusal:
        await store.put("results/a.png", b"1")
    assert "nowhere" in refusal.value.message
    assert refusal.value.retry_after is not None


async def test_a_server_that_is_away_is_a_store_that_is_away() -> None:
    gone = f"http://127.0.0.1:{unused_port()}"
    store = open_store(f"s3://bucket?endpoint={gone}&access_key_id=test&secret_access_key=verysecret")
    with pytest.raises(StoreUnavailable) as refusal:
        await store.get("results/a.png")
    assert "verysecret" not in refusal.value.message


async def test_a_folder_that_turned_into_something_else_is_away(tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}/store")
    (tmp_path / "store" / "results").write_text("a file in the way")
    with pytest.raises(StoreUnavailable):
        await store.put("results/a.png", b"1")
