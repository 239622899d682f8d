"""The chart's edge, a real nginx, in front of the real API."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from modelpool_api.settings import Settings
from support import debian_nginx, unused_port
from support.nginx_edge import EDGE, MakeEdge, NginxEdge
from support.nginx_server import NginxMissingError
from support.running_api import KEYS, Api, published, ready, served_api
from support.witness import Witness

OPEN = f"""
profile: local
identity: {{trustedProxies: [{EDGE}]}}
"""


@pytest.fixture
def witness() -> Witness:
    """Sees what comes through."""
    return Witness()


@pytest.fixture
def admission() -> str:
    """The API's admission document: the edge is believed, and nothing but the edge limits."""
    return OPEN


@pytest.fixture
def settings(redis_url_any: str, tmp_path: Path, admission: str) -> Settings:
    """Of the API behind the edge."""
    (tmp_path / "keys.yaml").write_text(KEYS)
    (tmp_path / "admission.yaml").write_text(admission)
    return Settings(
        redis_url=redis_url_any,
        store_url=f"file://{tmp_path}/store",
        api_keys_file=f"{tmp_path}/keys.yaml",
        admission=f"{tmp_path}/admission.yaml",
        subject_secret="a-secret-for-the-tests",
        admin_token="an-admin-token-for-the-tests",
        port=unused_port(),
        refresh_seconds=0.05,
    )


@pytest.fixture
async def api(settings: Settings, witness: Witness) -> AsyncIterator[Api]:
    """The API, ready, behind a real uvicorn."""
    async with (
        published(settings.redis_url) as (redis, board),
        served_api(settings, witness.around) as (context, http),
    ):
        yield await ready(context, http, redis, board)


@pytest.fixture
def make_edge(settings: Settings) -> Iterator[MakeEdge]:
    """Starts the edge with these values of the chart's ``edge``. Where nginx is missing the test fails: it is what the chart installs."""
    try:
        program = debian_nginx()
    except NginxMissingError as error:
        pytest.fail(str(error), pytrace=False)
    with ExitStack() as stack:

        def make(admission: dict[str, Any] | None = None, **edge: Any) -> NginxEdge:
            values: dict[str, Any] = {"edge": edge}
            if admission is not None:
                values["api"] = {"admission": {"profile": "public", **admission}}
            return stack.enter_context(NginxEdge(program, settings.port, values))

        yield make


@pytest.fixture
def edge(make_edge: MakeEdge) -> NginxEdge:
    """The edge as it comes: no proxy in front is believed."""
    return make_edge()


@pytest.fixture
def behind_proxy(make_edge: MakeEdge) -> NginxEdge:
    """The edge behind a load balancer at 127.0.0.1, so that a test's client may have any address."""
    return make_edge(trustedProxies=["127.0.0.1/32"])
