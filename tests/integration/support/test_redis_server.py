from pathlib import Path

import pytest
import redis

from support import RedisProcess, bundled_redis


def test_each_kind_is_the_version_its_name_says(redis6: RedisProcess, redis7: RedisProcess) -> None:
    versions = []
    for server in (redis6, redis7):
        with redis.from_url(server.url) as client:
            versions.append(client.info("server")["redis_version"].split(".")[0])
    assert versions == ["6", "7"]


@pytest.mark.parametrize("attempt", [1, 2])
def test_every_test_gets_an_empty_database(redis_url: str, attempt: int) -> None:
    with redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set("left behind by", attempt)


def test_nothing_is_evicted(redis_url: str) -> None:
    with redis.from_url(redis_url) as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_a_killed_server_finds_its_append_only_file_again(tmp_path: Path) -> None:
    options = ["--appendonly", "yes", "--appendfsync", "always"]
    with RedisProcess(bundled_redis(), tmp_path / "redis", options) as server:
        with redis.from_url(server.url) as client:
            client.set("colour", "red")
        server.kill()
        server.start()
        with redis.from_url(server.url) as client:
            assert client.get("colour") == b"red"
