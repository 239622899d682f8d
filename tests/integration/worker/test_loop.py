"""A worker with a simulated engine against a real queue."""

from __future__ import annotations

import io

from PIL import Image

from modelpool.jobs import JobState
from modelpool_worker.engines.simulated import SimulatedEngine
from support.worker import Pool, model, running


async def test_a_job_becomes_a_picture_in_the_store(pool: Pool, engine: SimulatedEngine) -> None:
    await pool.offer(model("flat"))
    await pool.assign("flat")
    async with running(pool, engine):
        record = await pool.ended(await pool.ask("flat", width=32, height=48))
    assert record.state is JobState.SUCCEEDED
    assert record.result is not None
    image = Image.open(io.BytesIO(await pool.store.get(record.result.key)))
    assert image.size == (32, 48)
