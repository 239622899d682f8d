"""Fixtures for all tests.

A fixture for one part lives in `tests/<tier>/<part>/conftest.py`; a class or function that several tests
import lives in `tests/support/`. Folders of tests have no `__init__.py`: files of the same name are fine.
"""

import os
import sys
from collections.abc import Iterator

import pytest
from hypothesis import settings

from support import RedisProcess, bundled_redis, debian_redis
from support.redis_server import RedisMissingError

pytest_plugins = ["support.no_skips", "support.processes"]

# Nothing under test may fetch anything.
os.environ["HF_HUB_OFFLINE"] = "1"

# A busy machine is no reason to fail an example.
settings.register_profile("modelpool", deadline=None)
settings.load_profile("modelpool")

REDIS_KINDS = ("redis6", "redis7")


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Of torch in the tests' own processes, of which each core has one; what they start decides for itself.

    Threads that wait for each other on a busy machine make tiny tensors slow. Torch is imported where a test needs it.
    """
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture(scope="session")
def redis6(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisProcess]:
    """The bundled Redis 6.2, running."""
    with RedisProcess(bundled_redis(), tmp_path_factory.mktemp("redis6")) as server:
        yield server


@pytest.fixture(scope="session")
def redis7(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisProcess]:
    """Debian's Redis 7, running. Where it is missing the test fails: both are supported, so both are tested."""
    try:
        program = debian_redis()
    except RedisMissingError as error:
        pytest.fail(str(error), pytrace=False)
    with RedisProcess(program, tmp_path_factory.mktemp("redis7")) as server:
        yield server


@pytest.fixture(params=REDIS_KINDS)
def redis_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty Redis; the test runs once on each kind."""
    return _emptied(request, request.param)


@pytest.fixture
def redis_url_any(request: pytest.FixtureRequest) -> str:
    """The URL of an empty Redis, for tests that no difference between versions can concern."""
    return _emptied(request, "redis6")


def _emptied(request: pytest.FixtureRequest, kind: str) -> str:
    server: RedisProcess = request.getfixturevalue(kind)
    server.flush()
    return server.url
