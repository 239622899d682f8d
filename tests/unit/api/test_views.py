from __future__ import annotations

from typing import cast

from modelpool.jobs import JobRecord
from modelpool.queue.fake import FakeQueue
from modelpool.queue.port import Outcome
from modelpool.queue.rules import CACHE_MS, HOUR_MS
from modelpool.store.sweep import RESULT_LIFE_MS
from modelpool_api.pools import Pool
from modelpool_api.views import job_view, rfc3339
from support.queues import POOL, Clock, Worker, new_job, new_result

NO_POOL = cast("Pool", None)
"""The view of a job that has ended asks nothing of its pool."""


def expiry(record: JobRecord, clock: Clock) -> str:
    result = job_view(record, NO_POOL, clock.now).result
    assert result is not None
    return result.expires_at


async def test_a_result_from_the_cache_lives_as_long_as_its_file() -> None:
    clock = Clock()
    queue = FakeQueue(POOL, now=clock)
    first = new_job()
    await queue.enqueue(first)
    batch = await Worker(queue, "flux").claim()
    stored_at = clock.now
    clock.pass_seconds(3)
    result = new_result().model_copy(update={"stored_at": stored_at})
    assert await queue.finish(batch.lease, first.id, result)
    assert expiry(await queue.get(first.id), clock) == rfc3339(stored_at + RESULT_LIFE_MS)
    clock.pass_seconds(11 * HOUR_MS / 1000)
    again = await queue.enqueue(new_job(digest=first.digest))
    assert again.outcome is Outcome.CACHED
    assert expiry(again.record, clock) == rfc3339(stored_at + RESULT_LIFE_MS)
    clock.pass_seconds(CACHE_MS / 1000)
    assert (await queue.enqueue(new_job(digest=first.digest))).outcome is Outcome.QUEUED


def test_who_gets_a_result_from_the_cache_has_hours_to_fetch_it() -> None:
    assert RESULT_LIFE_MS - CACHE_MS >= 12 * HOUR_MS
