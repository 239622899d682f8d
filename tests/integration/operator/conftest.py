"""An operator over a real Redis, with workers that only pretend."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from modelpool.queue.connection import connect
from support.operator_stage import POOL_FILE, Stage


@pytest_asyncio.fixture
async def stage(redis_url: str, tmp_path: Path) -> AsyncIterator[Stage]:
    """Once on each Redis."""
    file = tmp_path / "pool.yaml"
    file.write_text(POOL_FILE)
    async with await connect(redis_url) as client:
        yield Stage(file, client)
