"""The primary dies in the middle of traffic, the replica takes over, and every job ends or is known to be lost."""

import asyncio
import contextlib
from pathlib import Path

import pytest
from redis import Redis

from modelpool.errors import InvalidInput, JobNotFound, QueueUnavailable
from modelpool.jobs import JobState
from modelpool.queue.check import QueueCheck
from modelpool.queue.connection import connect
from modelpool.queue.port import HotModel, Outcome
from modelpool.queue.redis import RedisQueue
from support import RedisProcess, wait_until
from support.failover import FailoverSet
from support.queues import POOL, new_job, new_result

HOT = [HotModel("flux", 4)]


class Traffic:
    """People who ask and workers who work; whoever hears that Redis is away tries again."""

    def __init__(self, queue: RedisQueue) -> None:
        self.queue = queue
        self.flows = True
        self.asked: list[str] = []
        self.heard: set[str] = set()
        self.refusals = 0

    async def ask(self, subject: str) -> None:
        while self.flows:
            n = len(self.asked)
            job = new_job(subject=subject, digest=f"{n % 50:032x}" * 2)
            while True:
                try:
                    await self.queue.enqueue(job)
                    break
                except QueueUnavailable:
                    self.refusals += 1
                    await asyncio.sleep(0.05)
            self.asked.append(job.id)

    async def work(self, name: str) -> None:
        while self.flows:
            with contextlib.suppress(QueueUnavailable):
                if batch := await self.queue.claim(name, name, HOT, lease_ms=1000):
                    await self.queue.finish_all(batch.lease, {job.id: new_result() for job in batch.jobs[1:]})
                    await self.queue.finish(batch.lease, batch.jobs[0].id, new_result())
                await self.queue.reap()

    async def listen(self) -> None:
        async for event in self.queue.events():
            self.heard.add(event.job)


async def test_a_failover_in_mid_traffic_loses_the_last_moment_at_most(
    redis_kind: RedisProcess, tmp_path: Path
) -> None:
    with FailoverSet(redis_kind.program, tmp_path) as servers:
        client = await connect(servers.url)
        traffic = Traffic(queue := RedisQueue(POOL, client))
        at_work = [
            *(traffic.ask(f"user{n}") for n in range(3)),
            traffic.work("w1"),
            traffic.work("w2"),
            traffic.listen(),
        ]
        tasks = [asyncio.create_task(part) for part in at_work]
        try:
            await wait_until(lambda: len(traffic.asked) > 100)
            servers.primary.kill()
            before = len(traffic.asked)
            await wait_until(lambda: len(traffic.asked) > before + 100)
            await wait_until(lambda: traffic.heard & set(traffic.asked[before + 20 :]))
        finally:
            traffic.flows = False
            tasks[-1].cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(end) for end in ended if end is not None] == [asyncio.CancelledError]
        assert servers.primary_port() == servers.replica.port

        checker = QueueCheck(POOL, client)
        await checker.check(repair=True)
        assert (await checker.check()).findings == []
        lost: list[str] = []

        async def all_ended() -> bool:
            await queue.reap()
            if batch := await queue.claim("w3", "w3", HOT, lease_ms=1000):
                await queue.finish_all(batch.lease, {job.id: new_result() for job in batch.jobs})
            depth = (await queue.depths())["flux"]
            return not depth.queued and not depth.running

        await wait_until(all_ended)
        for n, job in enumerate(traffic.asked):
            try:
                assert (await queue.get(job)).state is JobState.SUCCEEDED
            except JobNotFound:
                lost.append(job)
                assert before - 20 <= n < before + 20, "only what was on its way to the replica may be gone"
        assert len(lost) < 20
        assert (await checker.check()).findings == []
        await client.aclose()


async def test_an_orderly_failover_loses_nothing(redis_kind: RedisProcess, tmp_path: Path) -> None:
    with FailoverSet(redis_kind.program, tmp_path) as servers:
        client = await connect(servers.url)
        queue = RedisQueue(POOL, client)
        for job in (jobs := [new_job() for _ in range(20)]):
            await queue.enqueue(job)
        servers.fail_over()
        await wait_until(lambda: servers.primary_port() == servers.replica.port)

        async def answers() -> bool:
            with contextlib.suppress(QueueUnavailable):
                return (await queue.enqueue(jobs[0])).outcome is Outcome.QUEUED  # sent before: answered alike
            return False

        await wait_until(answers)
        assert (await queue.depths())["flux"].queued == 20
        await client.aclose()


async def test_a_primary_that_has_become_a_replica_is_left(redis_kind: RedisProcess, tmp_path: Path) -> None:
    with FailoverSet(redis_kind.program, tmp_path) as servers:
        client = await connect(servers.url, max_connections=1)
        queue = RedisQueue(POOL, client)
        await queue.enqueue(new_job())
        with Redis.from_url(servers.primary.url) as primary:
            connected = {entry["id"] for entry in primary.client_list()}
            primary.replicaof("127.0.0.1", str(servers.replica.port))
            with pytest.raises(QueueUnavailable):
                await queue.enqueue(new_job())
            primary.replicaof("NO", "ONE")
        assert str(await client.client_id()) not in connected, "still on the old connection"
        await client.aclose()


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://127.0.0.1:26379",
        "redis+sentinel:///main",
        "redis+sentinel://h:1,:2/main",
        "redis+sentinel://h/main/zero",
        "redis+sentinel://:secret@h/main?what=1",
    ],
)
async def test_a_sentinel_url_that_cannot_work_is_refused_with_its_form(url: str) -> None:
    with pytest.raises(InvalidInput, match=r"redis\+sentinel://host:26379,host:26379/primary/0") as refusal:
        _ = await connect(url)
    assert "secret" not in str(refusal.value)


async def test_no_sentinel_there_is_unavailable() -> None:
    with pytest.raises(QueueUnavailable, match="No master found"):
        _ = await connect("redis+sentinel://127.0.0.1:1,127.0.0.1:2/main")
