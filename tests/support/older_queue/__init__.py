"""The queue's client and scripts as they were when each job was enqueued by a run of its own, kept word for word.

For tests of an upgrade, in which some processes are of that version and some of today's. The scripts lie in ``lua/``;
of the client only ``enqueue`` and ``finish_all`` have another form today.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from hashlib import sha1
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from modelpool.jobs import JobResult, JobState, NewJob
from modelpool.queue.port import Enqueued, Outcome
from modelpool.queue.records import new_record, short_hash, short_keys
from modelpool.queue.redis import RedisQueue
from modelpool.queue.running import ScriptRunner
from modelpool.resources.pool import PoolRef

_LUA = Path(__file__).parent / "lua"
_ENDING = ("claim", "finish", "fail", "release", "cancel", "reap")


@cache
def source(verb: str) -> str:
    """Complete Lua text of a verb."""
    parts = ("constants", "prelude", *(("endings",) if verb in _ENDING else ()), verb)
    return "".join((_LUA / f"{part}.lua").read_text("utf-8") for part in parts)


class OlderRunner(ScriptRunner):
    """Runs the older scripts. ``loaded``: those that the server did not know, in turn."""

    def __init__(self, pool: PoolRef, client: Redis, now: Callable[[], int] | None) -> None:
        super().__init__(pool, client, now)
        self._key = pool.key()
        self.client = client
        self.loaded: list[str] = []

    async def __call__(self, verb: str, *args: str | int | bytes) -> Any:
        text = source(verb)
        digest = sha1(text.encode(), usedforsecurity=False).hexdigest()
        command = ("EVALSHA", digest, 1, self._key, self.now() if self.now else "", *args)
        try:
            return await self.client.execute_command(*command)  # type: ignore[no-untyped-call]
        except NoScriptError:
            self.loaded.append(verb)
            await self.client.script_load(text)
            return await self.client.execute_command(*command)  # type: ignore[no-untyped-call]

    async def together(self, verb: str, *args: str | int | bytes) -> Any:
        raise AssertionError(f"the older client enqueues with a script of its own, not {verb} for several")


class OlderQueue(RedisQueue):
    """One pool's queue as an older process sees it."""

    def __init__(self, pool: PoolRef, client: Redis, *, now: Callable[[], int] | None = None) -> None:
        super().__init__(pool, client, now=now)
        self._run = self.runner = OlderRunner(pool, client, now)

    async def enqueue(self, job: NewJob) -> Enqueued:
        """As it was. Of answers other than ``queued`` and ``joined`` tests of an upgrade have no need."""
        shape, key = short_keys(job.request)
        outcome, _, now, position, *leader = await self._run(
            "enqueue",
            job.id,
            job.request.to_json(),
            short_hash(job.idempotency_key) if job.idempotency_key is not None else "",
            job.fingerprint or "",
            int(job.use_cache),
            job.deadline_ms,
            shape,
            *_fields_of(job, key),
        )
        if outcome == "queued":
            return Enqueued(new_record(job, str(self._pool), now, JobState.QUEUED), Outcome.QUEUED, position)
        assert outcome == "joined"
        record = new_record(job, str(self._pool), now, JobState.FOLLOWING, leader=leader[0])
        return Enqueued(record, Outcome.JOINED, position)

    async def finish_all(self, lease: str, results: Mapping[str, JobResult]) -> frozenset[str]:
        """As it was: results are kept under what their jobs asked for."""
        answers = await self._run("finish", lease, *(arg for job in results for arg in (job, results[job].to_json())))
        return frozenset(job for job, held in zip(results, answers, strict=True) if held)


def _fields_of(job: NewJob, key: str) -> list[str]:
    fields = [
        "lane", job.lane.value,
        "subject", job.subject,
        "model", job.request.model,
        "work", format(job.work, ".17g"),
        "price", str(job.price),
        "digest", job.digest,
        "key", key,
    ]  # fmt: skip
    if job.charge_id is not None:
        fields += ["charge", job.charge_id]
    if job.trace is not None:
        fields += ["trace", job.trace]
    return fields
