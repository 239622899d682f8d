"""A queue in Redis and its model in Python, side by side: all that can be seen of both must be the same, always."""

import asyncio
from collections import Counter, defaultdict
from typing import Any, ClassVar

from hypothesis.stateful import RuleBasedStateMachine, invariant
from redis.asyncio import Redis

from modelpool.errors import ModelpoolError
from modelpool.jobs import FINAL_STATES, JobEvent, JobState, NewJob
from modelpool.queue.check import QueueCheck
from modelpool.queue.job import Bell, Refund
from modelpool.queue.model import QueueModel
from modelpool.queue.port import Batch, HotModel
from modelpool.queue.redis import RedisQueue
from modelpool.queue.rules import LINES
from modelpool.queue.scripts import TICKET_DIGITS
from support.queues import POOL, Clock, new_result

MODELS = ("flux", "sdxl")

# Every key with its life, the members and scores of those that place jobs, and both V; one round trip a step.
LOOK = """
local rows = {}
for i, key in ipairs(redis.call('KEYS', '*')) do
  rows[i] = {key, redis.call('PTTL', key)}
  if redis.call('TYPE', key).ok == 'zset' then
    for _, member in ipairs(redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')) do table.insert(rows[i], member) end
  end
end
return {rows, redis.call('HMGET', KEYS[1], 'paid', 'free')}
"""


class QueueTwins(RuleBasedStateMachine):
    """One example: a fresh Redis, a fresh model. ``run`` completes a coroutine on the loop that ``client`` lives on."""

    runner: asyncio.Runner
    client: Redis
    counts: ClassVar[Counter[str]] = Counter()
    """Of all examples so far: ``examples``, and ``operations`` done on both sides."""

    def set_up(self) -> None:
        self.counts["examples"] += 1
        self.clock = Clock()
        self.model = QueueModel(str(POOL))
        self.redis = RedisQueue(POOL, self.client, now=self.clock)
        self.asked: dict[str, NewJob] = {}
        self.seen: dict[str, JobEvent] = {}
        self.batches: list[Batch] = []
        self.refunded: Counter[str] = Counter()
        self.last_refund = "-"
        self.owing: set[str] = set()
        """Who joined without lifting, so that it costs virtual time only when promoted."""
        self.names = 0
        self.run(self.client.flushall())
        self.pubsub = self.client.pubsub(ignore_subscribe_messages=True)
        self.run(self.pubsub.psubscribe(POOL.key("*")))

    def run(self, coroutine: Any) -> Any:
        # The runner's own run() changes signal handlers each time, which takes longer than most of our round trips.
        return self.runner.get_loop().run_until_complete(coroutine)

    def both(self, verb: str, *args: Any, timed: bool = True, **options: Any) -> Any:
        """Do it on both sides; answers, errors and all that is told must be the same."""
        self.counts["operations"] += 1
        now = (self.clock.now,) if timed else ()
        theirs: Any
        ours: Any
        try:
            theirs = self.run(getattr(self.redis, verb)(*args, **options))
        except ModelpoolError as error:
            theirs = type(error)
        try:
            ours = getattr(self.model, verb)(*args, *now, **options)
        except ModelpoolError as error:
            ours = type(error)
        assert theirs == ours
        return ours

    def name(self, kind: str) -> str:
        self.names += 1
        return f"{kind}{self.names:05d}"

    def claim_on_both(self, lease: str, hot: list[HotModel], **options: Any) -> Batch | None:
        self.counts["operations"] += 1
        running = [job for name in self.asked if (job := self.model.job(name)).state is JobState.RUNNING]
        holders = {job.id: job.lease for job in running if job.due > self.clock.now}
        theirs = self.run(self.redis.claim("worker", "slot", hot, lease=lease, **options))
        ours = self.model.claim(lease, "slot", hot, self.clock.now, **options)
        assert theirs == ours
        if ours is not None:
            assert {holders.get(job.id, lease) for job in ours.jobs} == {lease}, "a job is under two leases"
        return ours

    # --- what must hold after every step -----------------------------------------------------------------------------

    @invariant()
    def all_that_can_be_seen_agrees(self) -> None:
        heard, depths, places = self.run(self._all())
        self.both_told_the_same(*heard)
        assert depths == self.model.depths()
        self.every_job_is_in_its_places_and_every_key_has_a_life(*places)

    async def _all(self) -> tuple[Any, ...]:
        """What the checks of one step need, asked for at once."""
        return tuple(await asyncio.gather(self._told(), self.redis.depths(), self._look()))

    def nothing_else_was_told(self) -> None:
        self.both_told_the_same(*self.run(self._told()))

    def both_told_the_same(self, heard: list[Any], refunds: list[Refund]) -> None:
        told, self.model.told = self.model.told, []
        assert heard == [entry for entry in told if not isinstance(entry, Refund)]
        assert refunds == [entry for entry in told if isinstance(entry, Refund)]
        for entry in told:
            if isinstance(entry, JobEvent):
                before = self.seen.get(entry.job)
                assert before is None or before.state not in FINAL_STATES, "final is final"
                assert entry.seq == (before.seq + 1 if before else 1), "seq grows by one"
                self.seen[entry.job] = entry
        self.refunded.update(refund.charge for refund in refunds)
        assert set(self.refunded.values()) <= {1}, "one refund per charge"

    async def _told(self) -> tuple[list[Any], list[Refund]]:
        """All messages up to a mark that we publish ourselves, and all new refunds."""
        pipeline = self.client.pipeline(transaction=False)
        _ = pipeline.xrange(POOL.key("refunds"), min=self.last_refund)
        _ = pipeline.publish(POOL.key("mark"), "")
        entries, _ = await pipeline.execute()
        if entries:
            self.last_refund = f"({entries[-1][0]}"
        refunds = [Refund(fields["charge"], int(fields["price"]), int(fields["day"])) for _, fields in entries]
        heard: list[Any] = []
        while True:
            message = await self.pubsub.get_message(timeout=5)
            if message is None:  # what our own subscription answered
                continue
            channel = message["channel"].removeprefix(POOL.key("")).split(":")
            if channel == ["mark"]:
                return heard, refunds
            event = channel == ["events"]
            heard.append(JobEvent.model_validate_json(message["data"]) if event else Bell(channel[1], message["data"]))

    def every_job_is_in_its_places_and_every_key_has_a_life(
        self, places: dict[str, Counter[str]], tags: dict[str, float], reached: list[float], shortest_life: int
    ) -> None:
        assert shortest_life > 0, "a key without TTL"
        assert reached == [self.model.reached(line) for line in LINES]
        assert tags == {job: self.model.job(job).tag for job in tags}
        for job in self.asked:
            record = self.model.get(job)
            queued = record.state is JobState.QUEUED
            expected = {
                "line": queued,
                "batch": queued and not record.solo,
                "shape": queued and not record.solo and self.model.job(job).mixable,
                "followers": record.state is JobState.FOLLOWING,
                "due": record.state not in FINAL_STATES,
            }
            assert places[job] == Counter(kind for kind, there in expected.items() if there), (job, record.state)

    async def _look(self) -> tuple[dict[str, Counter[str]], dict[str, float], list[float], int]:
        answer: Any = await self.client.eval(LOOK, 1, POOL.key("tally"))
        rows, reached = answer
        places: dict[str, Counter[str]] = defaultdict(Counter)
        tags: dict[str, float] = {}
        for key, _, *entries in rows:
            kind = key.removeprefix(POOL.key("")).split(":")[0]
            for member, score in zip(entries[::2], entries[1::2], strict=True):
                job = member if kind == "due" else member[TICKET_DIGITS:]
                places[job][kind] += 1
                if kind == "line":
                    tags[job] = float(score)
        return places, tags, [float(virtual or 0) for virtual in reached], min((ttl for _, ttl, *_ in rows), default=1)

    def teardown(self) -> None:
        if not hasattr(self, "pubsub"):
            return
        try:
            self.nothing_is_amiss()
            self.everything_ends()
            self.nothing_is_amiss()
        finally:
            self.run(self.pubsub.aclose())  # type: ignore[no-untyped-call]

    def nothing_is_amiss(self) -> None:
        """And so a repair changes nothing."""
        checker = QueueCheck(POOL, self.client, now=self.clock)
        assert self.run(checker.check(repair=True)).findings == []
        self.nothing_else_was_told()

    def everything_ends(self) -> None:
        """A willing worker and a reaper bring every job to its end; each refund is owed, and none is missing."""
        self.clock.pass_seconds(100)
        hot = [HotModel(model, 4) for model in MODELS]
        while batch := self.claim_on_both(self.name("lease"), hot):
            for job in batch.jobs:
                self.both("finish", batch.lease, job.id, new_result())
        self.nothing_else_was_told()
        for name, asked in self.asked.items():
            record = self.both("get", name, timed=False)
            assert record.state in FINAL_STATES, "a job was lost"
            waited = record.state is JobState.CANCELLED and record.started_at is None
            owed = asked.charge_id is not None and (record.state in {JobState.FAILED, JobState.EXPIRED} or waited)
            assert self.refunded[asked.charge_id or ""] == owed
        assert not any(depth.queued or depth.running for depth in self.model.depths().values())
