"""Which Redis will do, and what happens when it is away or full."""

from pathlib import Path

import pytest
from redis.asyncio import Redis

from modelpool.errors import InvalidInput, QueueUnavailable
from modelpool.jobs import JobError
from modelpool.queue.check import QueueCheck
from modelpool.queue.connection import connect
from modelpool.queue.redis import RedisQueue
from support import RedisProcess, unused_port
from support.queues import POOL, Worker, new_job, new_result


async def test_nobody_there_is_unavailable() -> None:
    with pytest.raises(QueueUnavailable):
        _ = await connect(f"redis://127.0.0.1:{unused_port()}/0")


@pytest.mark.parametrize("url", ["nonsense", "http://127.0.0.1", "redis://:secret/word@127.0.0.1"])
async def test_what_is_no_redis_url_is_refused_with_a_sentence_that_repeats_none_of_it(url: str) -> None:
    with pytest.raises(InvalidInput, match="cannot be read") as refusal:
        _ = await connect(url)
    assert str(refusal.value).endswith(".")
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--cluster-enabled", "yes", "--cluster-port", str(unused_port())], "Cluster"),
        (["--maxmemory-policy", "allkeys-lru"], "allkeys-lru"),
    ],
)
async def test_a_redis_that_will_not_do_is_refused_with_a_sentence(
    redis7: RedisProcess, tmp_path: Path, options: list[str], word: str
) -> None:
    # Redis 6.2 cannot be told its cluster port: it is 10,000 above the other, where somebody may be.
    with RedisProcess(redis7.program, tmp_path, options) as server, pytest.raises(InvalidInput, match=word) as refusal:
        _ = await connect(server.url)
    assert str(refusal.value).endswith(".")


async def test_a_unix_socket_will_do(redis6: RedisProcess, tmp_path: Path) -> None:
    with RedisProcess(redis6.program, tmp_path, ["--unixsocket", str(tmp_path / "redis.sock")]):
        client = _ = await connect(f"unix://{tmp_path}/redis.sock")
        assert await RedisQueue(POOL, client).depths() == {}
        await client.aclose()


async def test_full_memory_refuses_new_jobs_and_lets_running_ones_go_on_and_end(
    redis_kind: RedisProcess, tmp_path: Path
) -> None:
    with RedisProcess(redis_kind.program, tmp_path) as server:
        client = await connect(server.url)
        queue = RedisQueue(POOL, client)
        jobs = [new_job() for _ in range(4)]
        for job in jobs:
            await queue.enqueue(job)
        worker = Worker(queue, "flux")
        await client.config_set("maxmemory", "1")
        before = await client.dbsize()
        refused = new_job()
        with pytest.raises(QueueUnavailable):
            await queue.enqueue(refused)
        assert await client.dbsize() == before
        assert await Worker(queue, "sdxl").ids(mixes=True) == [], "the first that mixes"
        batch = await worker.claim()
        assert (await queue.renew(batch.lease, [job.id for job in jobs])).held == {job.id for job in jobs}
        assert await queue.finish(batch.lease, jobs[0].id, new_result())
        assert await queue.fail(batch.lease, jobs[1].id, JobError(code="x", message="y"))
        assert await queue.release(batch.lease, [jobs[2].id]) == 1
        await queue.cancel(jobs[3].id)
        assert (await QueueCheck(POOL, client).check()).findings == []
        await client.config_set("maxmemory", "0")
        await queue.enqueue(refused)
        assert await queue.position(refused.id) == 2
        await client.aclose()


async def test_a_script_that_is_gone_again_as_soon_as_it_was_loaded_is_unavailable(
    client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Servers change places in between, or somebody flushes all the time."""
    queue, load = RedisQueue(POOL, client), client.script_load

    async def load_in_vain(script: str) -> None:
        await load(script)
        await client.script_flush()

    await client.script_flush()
    monkeypatch.setattr(client, "script_load", load_in_vain)
    for ask in (lambda: queue.enqueue(new_job()), lambda: queue.get("nobody"), queue.reap):
        with pytest.raises(QueueUnavailable):
            await ask()
    monkeypatch.undo()
    await queue.enqueue(new_job())
