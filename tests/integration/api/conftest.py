"""Fixtures: the API in this process, and the API behind a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from modelpool_api.settings import Settings
from support import unused_port
from support.running_api import KEYS, Api, published, ready, running_api, served_api


@pytest.fixture
def settings(redis_url: str, tmp_path: Path) -> Settings:
    """Of the process under test."""
    keys = tmp_path / "keys.yaml"
    keys.write_text(KEYS)
    return Settings(
        redis_url=redis_url,
        store_url=f"file://{tmp_path}/store",
        api_keys_file=str(keys),
        subject_secret="a-secret-for-the-tests",
        refresh_seconds=0.05,
        reap_seconds=0.1,
    )


@pytest.fixture
async def api(settings: Settings) -> AsyncIterator[Api]:
    """The API, ready, called without a network."""
    async with published(settings.redis_url) as (redis, board), running_api(settings) as (context, http):
        yield await ready(context, http, redis, board)


@pytest.fixture
async def served(settings: Settings) -> AsyncIterator[Api]:
    """The API behind a real uvicorn."""
    settings = replace(settings, port=unused_port())
    async with published(settings.redis_url) as (redis, board), served_api(settings) as (context, http):
        yield await ready(context, http, redis, board)
