"""What a URL with Sentinels in it says."""

import pytest

from modelpool.queue.sentinel import PrimaryPool, primary_pool


def addresses(pool: PrimaryPool) -> list[tuple[str, int]]:
    found = [client.connection_pool.connection_kwargs for client in pool.sentinel_manager.sentinels]
    return [(each["host"], each["port"]) for each in found]


def test_sentinels_primary_and_database() -> None:
    pool = primary_pool("redis+sentinel://a:26379,b:26380,[::1]:26381,c/main/3")
    assert addresses(pool) == [("a", 26379), ("b", 26380), ("::1", 26381), ("c", 26379)]
    assert (pool.service_name, pool.connection_kwargs["db"]) == ("main", 3)
    assert (pool.connection_kwargs["username"], pool.connection_kwargs["password"]) == (None, None)


def test_a_password_is_that_of_redis_and_sentinel_has_its_own() -> None:
    pool = primary_pool("redis+sentinel://app:p%40ss@h/main?sentinel_username=s&sentinel_password=q%2Fx")
    assert (pool.connection_kwargs["username"], pool.connection_kwargs["password"]) == ("app", "p@ss")
    sentinel = pool.sentinel_manager.sentinels[0].connection_pool.connection_kwargs
    assert (sentinel["username"], sentinel["password"]) == ("s", "q/x")
    assert pool.connection_kwargs["db"] == 0


@pytest.mark.parametrize(
    "url", ["redis://h/main", "redis+sentinel://h", "redis+sentinel://h/main/x", "redis+sentinel://h/m?a=b"]
)
def test_what_is_no_such_url_is_an_error(url: str) -> None:
    with pytest.raises(ValueError, match=r"form|invalid literal"):
        primary_pool(url)
