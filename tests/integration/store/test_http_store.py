"""The store over HTTP: nginx, with the chart's configuration and the script that runs beside it."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from modelpool.errors import InvalidInput, ResultNotFound, StoreUnavailable
from modelpool.store.open import open_store
from modelpool.store.sweep import INPUT_LIFE_MS, RESULT_LIFE_MS, sweep
from support import NginxStore, unused_port

MINUTE_MS = 60_000


def age(nginx: NginxStore, key: str, milliseconds: int) -> None:
    """Make a stored object older than it is."""
    path = nginx.volume / key
    then = path.stat().st_mtime - milliseconds / 1000
    os.utime(path, (then, then))


def left(nginx: NginxStore) -> set[str]:
    return {str(path.relative_to(nginx.volume)) for path in nginx.volume.rglob("*") if path.is_file()}


async def test_the_server_expires_and_the_sweeper_leaves_it_alone(nginx: NginxStore) -> None:
    store = open_store(nginx.url)
    await store.put("results/a.png", b"1")
    assert store.expires
    assert await sweep(store, 100 * INPUT_LIFE_MS) == 0
    assert await store.get("results/a.png") == b"1"
    with pytest.raises(NotImplementedError, match="cannot list"):
        [found async for found in store.list("results")]


async def test_results_and_inputs_expire_after_the_same_lives_as_everywhere(nginx: NginxStore) -> None:
    store = open_store(nginx.url)
    for folder, life in (("results", RESULT_LIFE_MS), ("inputs", INPUT_LIFE_MS)):
        await store.put(f"{folder}/old.png", b"1")
        age(nginx, f"{folder}/old.png", life + MINUTE_MS)
        await store.put(f"{folder}/young.png", b"1")
        age(nginx, f"{folder}/young.png", life - 2 * MINUTE_MS)
    nginx.expire()
    assert left(nginx) == {"results/young.png", "inputs/young.png"}
    with pytest.raises(ResultNotFound):
        await store.get("results/old.png")


async def test_an_input_put_again_starts_a_new_life(nginx: NginxStore) -> None:
    store = open_store(nginx.url)
    await store.put("inputs/same.png", b"1")
    age(nginx, "inputs/same.png", 2 * INPUT_LIFE_MS)
    await store.put("inputs/same.png", b"1")
    nginx.expire()
    assert left(nginx) == {"inputs/same.png"}


async def test_what_an_interrupted_upload_left_expires_too(nginx: NginxStore) -> None:
    for name, minutes in (("0000000001", 70), ("0000000002", 50)):
        (nginx.volume / ".incoming" / name).write_bytes(b"half")
        age(nginx, f".incoming/{name}", minutes * MINUTE_MS)
    nginx.expire()
    assert left(nginx) == {".incoming/0000000002"}
    (nginx.volume / ".incoming" / "0000000002").unlink()


@pytest.mark.parametrize("path", ["/", "/results", "/results/", "/inputs/", "/.incoming/", "/.incoming/0000000001"])
async def test_nobody_lists(nginx: NginxStore, path: str) -> None:
    await open_store(nginx.url).put("results/a.png", b"1")
    async with httpx.AsyncClient(base_url=nginx.url) as client:
        for method in ("GET", "PROPFIND"):
            reply = await client.request(method, path)
            assert reply.status_code == httpx.codes.NOT_FOUND
            assert "a.png" not in reply.text


@pytest.mark.parametrize("method", ["MKCOL", "MOVE", "COPY", "POST", "PROPFIND"])
async def test_only_put_get_and_delete_are_there(nginx: NginxStore, method: str) -> None:
    await open_store(nginx.url).put("results/a.png", b"1")
    async with httpx.AsyncClient(base_url=nginx.url) as client:
        reply = await client.request(method, "/results/a.png", headers={"Destination": f"{nginx.url}/results/b.png"})
    assert reply.status_code == httpx.codes.METHOD_NOT_ALLOWED
    assert left(nginx) == {"results/a.png"}


@pytest.mark.parametrize(
    "path", ["/other/a.png", "/results/.hidden", "/results/deep/a.png", "/a.png", "/results/%2e%2e/x"]
)
async def test_what_is_no_key_cannot_be_put(nginx: NginxStore, path: str) -> None:
    async with httpx.AsyncClient(base_url=nginx.url) as client:
        reply = await client.put(path, content=b"1")
    assert reply.status_code in (httpx.codes.NOT_FOUND, httpx.codes.METHOD_NOT_ALLOWED)
    assert left(nginx) == set()


async def test_an_upload_beyond_the_limit_is_refused_before_it_is_sent(nginx: NginxStore) -> None:
    async with unfinished_put(nginx, "results/huge.mp4", length=257 * 2**20) as (reader, _):
        assert b" 413 " in await reader.readline()
    assert left(nginx) == set()


async def test_a_reader_never_sees_half_an_object(nginx: NginxStore) -> None:
    store = open_store(nginx.url)
    await store.put("inputs/a.png", b"old")
    async with unfinished_put(nginx, "inputs/a.png", length=200_000) as (reader, writer):
        writer.write(b"n" * 150_000)
        await writer.drain()
        assert await store.get("inputs/a.png") == b"old"
        writer.write(b"n" * 50_000)
        assert b" 204 " in await reader.readline()
    assert await store.get("inputs/a.png") == b"n" * 200_000


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.png", "image/png"), ("a.jpeg", "image/jpeg"), ("a.webp", "image/webp"), ("a.mp4", "video/mp4")],
)
async def test_the_content_type_follows_the_extension(nginx: NginxStore, name: str, expected: str) -> None:
    await open_store(nginx.url).put(f"results/{name}", b"1")
    async with httpx.AsyncClient() as client:
        reply = await client.get(f"{nginx.url}/results/{name}")
    assert reply.headers["Content-Type"] == expected


async def test_no_key_is_logged(nginx: NginxStore) -> None:
    store = open_store(nginx.url)
    await store.put("results/secret-key.png", b"1")
    await store.get("results/secret-key.png")
    await store.delete("results/secret-key.png")
    with pytest.raises(ResultNotFound):
        await store.get("results/secret-key.png")
    assert "secret-key" not in nginx.log


async def test_a_server_that_is_away_is_a_store_that_is_away() -> None:
    address = f"127.0.0.1:{unused_port()}"
    store = open_store(f"http://worker:verysecret@{address}")
    for act in (store.put("results/a.png", b"1"), store.get("results/a.png"), store.delete("results/a.png")):
        with pytest.raises(StoreUnavailable) as refusal:
            await act
        assert f"http://{address}" in refusal.value.message
        assert "verysecret" not in refusal.value.message
        assert refusal.value.retry_after is not None


async def test_a_volume_that_takes_nothing_is_a_store_that_is_away(nginx: NginxStore) -> None:
    (nginx.volume / "results").write_text("a file in the way")
    try:
        with pytest.raises(StoreUnavailable):
            await open_store(nginx.url).put("results/a.png", b"1")
    finally:
        (nginx.volume / "results").unlink()


async def test_name_and_password_of_the_address_are_sent() -> None:
    asked = asyncio.Queue[str]()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        asked.put_nowait(head.decode())
        writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        await open_store(f"http://worker:very%40secret@127.0.0.1:{port}").put("results/a.png", b"")
    credentials = base64.b64encode(b"worker:very@secret").decode()
    assert f"authorization: basic {credentials}".lower() in (await asked.get()).lower()


@pytest.mark.parametrize(
    "url", ["http://", "http:///results", "http://store:port", "http://store/?list=1", "https://store/#a"]
)
def test_an_address_that_names_no_server_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="must be http://host:port"):
        open_store(url)


@asynccontextmanager
async def unfinished_put(
    nginx: NginxStore, key: str, length: int
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A PUT whose header has been sent."""
    address = httpx.URL(nginx.url)
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(f"PUT /{key} HTTP/1.1\r\nHost: store\r\nContent-Length: {length}\r\n\r\n".encode())
    await writer.drain()
    try:
        yield reader, writer
    finally:
        writer.close()
        await writer.wait_closed()
