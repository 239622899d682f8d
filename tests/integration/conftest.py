"""Real servers for the tests: Redis, moto's S3 in a process of its own, and nginx with the chart's configuration."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
import pytest_asyncio
from redis.asyncio import Redis

from modelpool.queue.connection import connect
from support import NginxStore, block_until, debian_nginx, unused_port
from support.nginx_server import NginxMissingError

CREDENTIALS = "access_key_id=test&secret_access_key=test&region=us-east-1"


@pytest_asyncio.fixture
async def client(redis_url: str) -> AsyncIterator[Redis]:
    """A client of an empty Redis."""
    made = await connect(redis_url)
    yield made
    await made.aclose()


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running S3 server."""
    port = unused_port()
    endpoint = f"http://127.0.0.1:{port}"
    log = tmp_path_factory.mktemp("moto") / "moto.log"
    with log.open("wb") as out:
        server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], stdout=out, stderr=out
        )

        def answers() -> bool:
            if server.poll() is not None:
                raise RuntimeError(log.read_text(errors="replace")[-2000:])
            try:
                return httpx.get(f"{endpoint}/moto-api/data.json", timeout=1).status_code == httpx.codes.OK
            except httpx.TransportError:
                return False

        try:
            block_until(answers)
            yield endpoint
        finally:
            server.terminate()
            server.wait(timeout=10)


@pytest.fixture
def s3_headers() -> dict[str, str]:
    """What a plain request needs: moto reads the service from the credential's scope and checks no signature."""
    scope = "Credential=test/20260101/us-east-1/s3/aws4_request"
    return {"Authorization": f"AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=0"}


@pytest.fixture
def s3_url(s3_endpoint: str, s3_headers: dict[str, str]) -> str:
    """The URL of a new, empty bucket behind a prefix."""
    bucket = f"b{uuid.uuid4().hex[:12]}"
    httpx.put(f"{s3_endpoint}/{bucket}", headers=s3_headers).raise_for_status()
    return f"s3://{bucket}/some/prefix?endpoint={s3_endpoint}&{CREDENTIALS}"


@pytest.fixture(scope="session")
def nginx_server() -> Iterator[NginxStore]:
    """The chart's result store, running. Where nginx is missing the test fails: it is what the chart installs."""
    try:
        program = debian_nginx()
    except NginxMissingError as error:
        pytest.fail(str(error), pytrace=False)
    with NginxStore(program) as server:
        yield server


@pytest.fixture
def nginx(nginx_server: NginxStore) -> NginxStore:
    """The chart's result store, empty."""
    nginx_server.empty()
    return nginx_server


@pytest.fixture
def http_url(nginx: NginxStore) -> str:
    """The address of an empty store over HTTP."""
    return nginx.url
