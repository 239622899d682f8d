"""What is remembered of the runtime's answers, and which generation of the pool they are about."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest_asyncio

from modelpool.resources.spec import ModelPool
from modelpool_operator.workers import Workers
from support import wait_until
from support.fake_slots import FakeRuntime
from support.pool_specs import cluster_pool


class Keeping:
    """Workers that are kept for a pool which a test changes."""

    def __init__(self) -> None:
        self.runtime = FakeRuntime()
        self.workers = Workers(self.runtime, look_seconds=0.01)
        self.pool = cluster_pool()
        self.news = 0

    def change(self, generation: int) -> None:
        """The pool as the cluster has it after an edit."""
        self.pool = self.pool.model_copy(
            update={"metadata": self.pool.metadata.model_copy(update={"generation": generation})}
        )

    async def run(self) -> None:
        await self.workers.run(1, self._pool, self._notify)

    def _pool(self) -> ModelPool:
        return self.pool

    def _notify(self) -> None:
        self.news += 1


@pytest_asyncio.fixture
async def keeping() -> AsyncIterator[Keeping]:
    kept = Keeping()
    kept.change(7)
    task = asyncio.create_task(kept.run())
    yield kept
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_nothing_is_known_before_the_first_answer() -> None:
    workers = Workers(FakeRuntime())
    assert (workers.generation, workers.observed, workers.trouble) == (0, {}, None)


async def test_an_answer_is_about_the_generation_that_was_asked_for_and_is_news(keeping: Keeping) -> None:
    await wait_until(lambda: keeping.workers.generation == 7)
    told = keeping.news
    keeping.change(8)
    await wait_until(lambda: keeping.workers.generation == 8)
    assert keeping.news == told + 1, "though every slot is as it was"


async def test_while_the_runtime_is_away_what_is_known_stays_about_the_generation_before(keeping: Keeping) -> None:
    await wait_until(lambda: keeping.workers.generation == 7)
    known = keeping.workers.observed
    keeping.runtime.away = True
    keeping.change(8)
    await wait_until(lambda: keeping.workers.trouble is not None)
    asked = keeping.runtime.calls
    await wait_until(lambda: keeping.runtime.calls > asked + 1)
    assert (keeping.workers.generation, keeping.workers.observed) == (7, known)
    keeping.runtime.away = False
    await wait_until(lambda: keeping.workers.generation == 8)
    assert keeping.workers.trouble is None
