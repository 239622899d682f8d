"""Results as caches and video players want them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from modelpool.store.sweep import RESULT_LIFE_MS
from support.fake_worker import PICTURE
from support.running_api import Api

VIDEO = bytes(range(256)) * 4


@pytest.fixture
def redis_url(redis_url_any: str) -> str:
    """Nothing here can depend on Redis's version."""
    return redis_url_any


@pytest.fixture
async def picture(api: Api) -> str:
    """The address of a finished picture."""
    await api.submit()
    batch = await api.worker.claim()
    await api.worker.finish(batch)
    shown = await api.job(batch.jobs[0].id)
    url: str = shown["result"]["url"]  # type: ignore[index]
    return url


@pytest.fixture
async def video(api: Api) -> str:
    """The address of a stored video."""
    await api.context.store.put("results/a.mp4", VIDEO)
    return "/v1/results/a.mp4"


async def test_a_result_says_everything_that_a_cache_needs(api: Api, picture: str) -> None:
    answer = await api.http.get(picture)
    assert (answer.status_code, answer.content) == (200, PICTURE)
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-length"] == str(len(PICTURE))
    assert answer.headers["content-disposition"] == f'inline; filename="{picture.rpartition("/")[2]}"'
    assert answer.headers["x-content-type-options"] == "nosniff"
    public, max_age, immutable = answer.headers["cache-control"].split(", ")
    assert (public, immutable) == ("public", "immutable")
    seconds = int(max_age.removeprefix("max-age="))
    assert RESULT_LIFE_MS / 1000 - 60 < seconds <= RESULT_LIFE_MS / 1000


async def test_a_result_is_gone_when_its_life_is_over_even_if_nobody_has_swept(
    api: Api, picture: str, tmp_path: Path
) -> None:
    file = tmp_path / "store" / picture.removeprefix("/v1/")
    for seconds, status in ((60, 200), (-60, 404)):
        born = time.time() - RESULT_LIFE_MS / 1000 + seconds
        os.utime(file, (born, born))
        for method, headers in (("GET", {}), ("HEAD", {}), ("GET", {"If-None-Match": "*"})):
            answer = await api.http.request(method, picture, headers=headers)
            assert (answer.status_code == 404) is (status == 404)
    assert (await api.http.get(picture)).json()["error"]["code"] == "result_not_found"


async def test_a_result_can_be_saved(api: Api, picture: str) -> None:
    answer = await api.http.get(picture, params={"download": "true"})
    assert answer.headers["content-disposition"].startswith("attachment;")


async def test_what_a_cache_has_is_not_sent_again(api: Api, picture: str) -> None:
    etag = (await api.http.get(picture)).headers["etag"]
    for known in (etag, f'"other", W/{etag}', "*"):
        answer = await api.http.get(picture, headers={"If-None-Match": known})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == etag
        assert "immutable" in answer.headers["cache-control"]
    changed = await api.http.get(picture, headers={"If-None-Match": '"other"'})
    assert changed.status_code == 200


async def test_head_tells_without_sending(api: Api, picture: str) -> None:
    full = await api.http.get(picture)
    answer = await api.http.head(picture)
    assert (answer.status_code, answer.content) == (200, b"")
    for name in ("content-length", "content-type", "etag", "accept-ranges"):
        assert answer.headers[name] == full.headers[name]


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [("bytes=0-9", 0, 9), ("bytes=1000-", 1000, 1023), ("bytes=-4", 1020, 1023), ("bytes=1020-9999", 1020, 1023)],
)
async def test_a_player_gets_the_part_it_asks_for(api: Api, video: str, asked: str, first: int, last: int) -> None:
    answer = await api.http.get(video, headers={"Range": asked})
    assert answer.status_code == 206
    assert answer.headers["content-range"] == f"bytes {first}-{last}/1024"
    assert answer.headers["content-type"] == "video/mp4"
    assert answer.content == VIDEO[first : last + 1]


async def test_a_range_outside_of_the_file_is_refused(api: Api, video: str) -> None:
    answer = await api.http.get(video, headers={"Range": "bytes=1024-"})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == "bytes */1024"
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_range_of_another_version_brings_the_whole_file(api: Api, video: str) -> None:
    etag = (await api.http.head(video)).headers["etag"]
    same = await api.http.get(video, headers={"Range": "bytes=0-1", "If-Range": etag})
    other = await api.http.get(video, headers={"Range": "bytes=0-1", "If-Range": '"other"'})
    several = await api.http.get(video, headers={"Range": "bytes=0-1,4-5"})
    assert (same.status_code, other.status_code, several.status_code) == (206, 200, 200)


@pytest.mark.parametrize("name", ["absent.png", "..", "%2e%2e", "..%2f..%2fetc%2fpasswd", "a%00.png", "x" * 150])
async def test_what_is_not_there_is_a_404_and_never_more(api: Api, name: str) -> None:
    answer = await api.http.get(f"/v1/results/{name}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


async def test_inputs_cannot_be_fetched(api: Api) -> None:
    await api.context.store.put("inputs/secret.png", b"1")
    for path in ("/v1/results/inputs/secret.png", "/v1/results/..%2finputs%2fsecret.png", "/v1/inputs/secret.png"):
        assert (await api.http.get(path)).status_code == 404
