"""Jobs, results, a clock and a worker for tests of the queue."""

import hashlib
import itertools
from collections import Counter
from typing import Any

from redis.asyncio import Redis

from modelpool.jobs import JobRequest, JobResult, Lane, NewJob
from modelpool.queue.port import Batch, HotModel, Queue
from modelpool.resources.models import Task
from modelpool.resources.pool import PoolRef

POOL = PoolRef("default", "studio")

_numbers = itertools.count(1)


class Clock:
    """A clock that moves only when told to. Milliseconds."""

    def __init__(self, now: int = 1_700_000_000_000) -> None:
        self.now = now

    def __call__(self) -> int:
        """The time."""
        return self.now

    def pass_seconds(self, seconds: float) -> None:
        """Let time pass."""
        self.now += round(seconds * 1000)


def new_job(
    model: str = "flux", lane: Lane = Lane.ACCOUNT, *, width: int = 512, steps: int = 4, **fields: Any
) -> NewJob:
    """A job unlike any before it, unless `digest` says so. `subject` defaults to one user for all."""
    job = fields.pop("id", None) or f"testpool{next(_numbers):08d}"
    request = JobRequest(
        model=model,
        revision="r1",
        task=Task.TEXT_TO_IMAGE,
        prompt=f"a red circle, {job}",
        width=width,
        height=512,
        steps=steps,
        guidance=0,
        seed=1,
    )
    defaults: dict[str, Any] = {
        "subject": "somebody",
        "work": 1.0,
        "price": 1,
        "digest": hashlib.sha256(job.encode()).hexdigest(),
        "charge_id": f"charge-{job}",
    }
    return NewJob(id=job, lane=lane, request=request, **{**defaults, **fields})


def new_result(model: str = "flux", key: str = "results/abc.png") -> JobResult:
    """A result as a worker reports it."""
    return JobResult(key=key, content_type="image/png", size=1234, width=512, height=512, seed=1, model=model)


class Worker:
    """Claims with one set of hot models; each model's cap is 8 unless told otherwise."""

    def __init__(self, queue: Queue, *models: str | HotModel, name: str = "w1") -> None:
        self.queue = queue
        self.name = name
        self.hot = [HotModel(model, 8) if isinstance(model, str) else model for model in models]

    async def claim(self, *, mixes: bool = False) -> Batch:
        """The next batch; there must be one."""
        batch = await self.queue.claim(self.name, f"slot-{self.name}", self.hot, mixes=mixes)
        assert batch is not None
        return batch

    async def ids(self, *, mixes: bool = False) -> list[str]:
        """The ids of the next batch, none when there is nothing to do."""
        batch = await self.queue.claim(self.name, f"slot-{self.name}", self.hot, mixes=mixes)
        return [job.id for job in batch.jobs] if batch else []


async def refunded(client: Redis) -> Counter[str]:
    """How often each charge of the pool's jobs was given back."""
    entries: Any = await client.xrange(POOL.key("refunds"))
    return Counter(fields["charge"] for _, fields in entries)
