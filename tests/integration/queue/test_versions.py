"""During an upgrade two versions of the scripts, and of the records, are in use at once."""

from hashlib import sha1
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from modelpool.jobs import JobError, JobState
from modelpool.queue import scripts
from modelpool.queue.check import QueueCheck
from modelpool.queue.port import HotModel
from modelpool.queue.redis import RedisQueue
from modelpool.queue.running import ScriptRunner
from support.queues import POOL, Clock, Worker, new_job, new_result

CRASH = JobError(code="x", message="y")


class OlderRunner(ScriptRunner):
    """Runs the scripts as they were before records kept the errors of earlier attempts."""

    def __init__(self, client: Redis, clock: Clock) -> None:
        super().__init__(POOL, client, clock)
        self.client = client
        self.loaded: list[str] = []

    async def __call__(self, verb: str, *args: str | int) -> Any:
        text = older(verb)
        digest = sha1(text.encode(), usedforsecurity=False).hexdigest()
        assert digest != scripts.digest(verb)
        command = ("EVALSHA", digest, 1, POOL.key(), self.now() if self.now else "", *args)
        try:
            return await self.client.execute_command(*command)  # type: ignore[no-untyped-call]
        except NoScriptError:
            self.loaded.append(verb)
            await self.client.script_load(text)
            return await self.client.execute_command(*command)  # type: ignore[no-untyped-call]


def older(verb: str) -> str:
    text = scripts.source(verb).replace(", failures = failures}", "}")
    return f"{text}\n-- older\n"


async def test_two_versions_of_the_scripts_work_side_by_side(client: Redis, clock: Clock) -> None:
    assert ", failures = failures}" in scripts.source("fail")
    newer, old = RedisQueue(POOL, client, now=clock), RedisQueue(POOL, client, now=clock)
    old._run = runner = OlderRunner(client, clock)
    queues = (newer, old)
    workers = [Worker(queue, HotModel("flux", 2), name=f"w{n}") for n, queue in enumerate(queues)]
    jobs = [new_job(subject=f"user{n % 3}", digest=f"{n // 2:032x}" * 2) for n in range(20)]
    for n, job in enumerate(jobs):
        await queues[n % 2].enqueue(job)
    turn = 0
    while (await newer.depths())["flux"].queued:
        batch = await workers[turn % 2].claim()
        other = queues[(turn + 1) % 2]
        assert (await other.renew(batch.lease, [job.id for job in batch.jobs])).lost == frozenset()
        if not batch.jobs[0].solo:
            assert await other.fail(batch.lease, batch.jobs[0].id, CRASH)
        await other.finish_all(batch.lease, {job.id: new_result() for job in batch.jobs})
        if turn == 1:
            await client.script_flush()  # a restart, between the two versions
        turn += 1
    assert runner.loaded.count("claim") == 2
    for job in jobs:
        records = [await queue.get(job.id) for queue in queues]
        assert records[0] == records[1]
        assert records[0].state is JobState.SUCCEEDED
    assert (await QueueCheck(POOL, client, now=clock).check()).findings == []


async def test_what_a_newer_version_has_written_into_a_record_stays(client: Redis, clock: Clock) -> None:
    queue = RedisQueue(POOL, client, now=clock)
    worker = Worker(queue, "flux")
    for job in (jobs := [new_job(), new_job()]):
        await queue.enqueue(job)
        await client.hset(POOL.key("job", job.id), "future", "x y")
    batch = await worker.claim()
    await queue.fail(batch.lease, jobs[0].id, CRASH)
    await queue.release(batch.lease, [jobs[1].id])
    await queue.cancel(jobs[1].id)
    batch = await worker.claim()
    await queue.finish(batch.lease, jobs[0].id, new_result())
    for job in jobs:
        assert await client.hget(POOL.key("job", job.id), "future") == "x y"
        assert (await queue.get(job.id)).state.is_final
    assert (await QueueCheck(POOL, client, now=clock).check(repair=True)).findings == []
