"""Drives the queue in Redis and its model in Python with the same operations, and compares all that can be seen.

Replies get lost (an operation is done again), deliveries come twice, workers die (nobody speaks for a claim any more
while time passes), clocks jump, servers forget their scripts.
"""

import asyncio
import hashlib
from collections import Counter, defaultdict
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
)
from redis.asyncio import Redis

from modelpool.errors import IdempotencyConflict, JobIsFinal, ModelpoolError
from modelpool.jobs import FINAL_STATES, JobError, JobEvent, JobState, Lane, NewJob
from modelpool.queue.job import Bell, Refund
from modelpool.queue.model import QueueModel
from modelpool.queue.port import Batch, FailureKind, HotModel
from modelpool.queue.redis import RedisQueue
from modelpool.queue.scripts import TICKET_DIGITS
from support.queues import POOL, Clock, new_job, new_result

MODELS = ("flux", "sdxl")
SUBJECTS = ("ann", "bob")
CRASH = JobError(code="engine_error", message="The kernel crashed.")

# Every key with its life, and the members of those that place jobs; one round trip a step.
LOOK = """
local rows = {}
for i, key in ipairs(redis.call('KEYS', '*')) do
  rows[i] = {key, redis.call('PTTL', key)}
  if redis.call('TYPE', key).ok == 'zset' then
    for _, member in ipairs(redis.call('ZRANGE', key, 0, -1)) do table.insert(rows[i], member) end
  end
end
return rows
"""

hot_models = st.lists(
    st.builds(HotModel, st.sampled_from(MODELS), st.integers(1, 4), st.sampled_from([None, None, 0.5, 2.5])),
    min_size=1,
    max_size=2,
    unique_by=lambda model: model.name,
)


class QueueMachine(RuleBasedStateMachine):
    """One example: a fresh Redis, a fresh model. ``run`` completes a coroutine on the loop that ``client`` lives on."""

    runner: asyncio.Runner
    client: Redis

    jobs = Bundle("jobs")
    claims = Bundle("claims")

    @initialize()
    def begin(self) -> None:
        self.clock = Clock()
        self.model = QueueModel(str(POOL))
        self.redis = RedisQueue(POOL, self.client, now=self.clock)
        self.asked: dict[str, NewJob] = {}
        self.seen: dict[str, JobEvent] = {}
        self.batches: list[Batch] = []
        self.refunded: Counter[str] = Counter()
        self.last_refund = "-"
        self.followed: set[str] = set()
        self.names = 0
        self.run(self.client.flushall())
        self.pubsub = self.client.pubsub(ignore_subscribe_messages=True)
        self.run(self.pubsub.psubscribe(POOL.key("*")))

    def run(self, coroutine: Any) -> Any:
        return self.runner.run(coroutine)

    def both(self, verb: str, *args: Any, timed: bool = True, **options: Any) -> Any:
        """Do it on both sides; answers, errors and all that is told must be the same."""
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

    # --- those who ask -----------------------------------------------------------------------------------------------

    @rule(
        target=jobs,
        lane=st.sampled_from(Lane),
        subject=st.sampled_from(SUBJECTS),
        kind=st.integers(0, 4),
        alike=st.sampled_from([True, True, False]),
        work=st.sampled_from([0.1, 1.0, 2.7]),
        charged=st.booleans(),
        use_cache=st.sampled_from([True, True, True, False]),
        life=st.sampled_from([60, 600, 3600]),
        key=st.sampled_from([None, None, None, "k1", "k2"]),
        fingerprint=st.sampled_from(["f1", "f1", "f2"]),
    )
    def enqueue(
        self,
        lane: Lane,
        subject: str,
        kind: int,
        alike: bool,
        work: float,
        charged: bool,
        use_cache: bool,
        life: int,
        key: str | None,
        fingerprint: str,
    ) -> Any:
        job = self.put(lane, subject, kind, alike, work, charged, use_cache, life, key, fingerprint)
        return multiple() if job is None else job

    def put(
        self,
        lane: Lane,
        subject: str,
        kind: int,
        alike: bool,
        work: float = 1.0,
        charged: bool = True,
        use_cache: bool = True,
        life: int = 600,
        key: str | None = None,
        fingerprint: str = "",
    ) -> NewJob | None:
        name = self.name("job")
        job = new_job(
            MODELS[kind % 2],
            lane,
            id=name,
            # A user of several lanes would be several users.
            subject=f"{lane.value} {subject}",
            steps=4 + kind // 4,
            width=512 + kind // 2 % 2 * 512,
            digest=hashlib.sha256((f"kind {kind}" if alike else name).encode()).hexdigest(),
            work=work,
            charge_id=f"charge {name}" if charged else None,
            use_cache=use_cache,
            deadline_ms=life * 1000,
            idempotency_key=key,
            fingerprint=fingerprint if key else None,
            trace="00-trace" if charged else None,
        )
        answer = self.both("enqueue", job)
        if answer is IdempotencyConflict or answer.record.id != name:
            return None
        if answer.record.leader is not None:
            self.followed.add(answer.record.leader)
        self.asked[name] = job
        return job

    @rule(target=jobs, lane=st.sampled_from(Lane), subject=st.sampled_from(SUBJECTS), kinds=st.lists(st.integers(0, 4)))
    def enqueue_many(self, lane: Lane, subject: str, kinds: list[int]) -> Any:
        jobs = [self.put(lane, subject, kind, alike=False) for kind in kinds]
        return multiple(*filter(None, jobs))

    @rule(job=jobs)
    def enqueue_again(self, job: NewJob) -> None:
        self.both("enqueue", job)

    @rule(lane=st.sampled_from([Lane.ACCOUNT, Lane.ANONYMOUS]), model=st.sampled_from(MODELS))
    def a_newcomer_waits_for_at_most_one_more_job_of_anybody(self, lane: Lane, model: str) -> None:
        job = new_job(model, lane, id=self.name("new"), subject=self.name("newcomer"))
        self.asked[job.id] = job
        position = self.both("enqueue", job).position
        ahead = [
            record
            for other in self.asked
            if (record := self.model.get(other)).model == model
            and record.state is JobState.QUEUED
            and (self.model.position(other) or 0) < position
        ]
        assert len(ahead) == position
        # A leader stands for its followers, so it may come before its own user's other jobs; paid is paid.
        users = Counter(r.subject for r in ahead if r.lane is not Lane.PAID and r.id not in self.followed)
        assert all(count <= 1 for count in users.values()), users

    @rule(job=jobs)
    def cancel(self, job: NewJob) -> None:
        before = self.model.get(job.id).state
        answer = self.both("cancel", job.id)
        assert (answer is JobIsFinal) == (before in FINAL_STATES - {JobState.CANCELLED})

    # --- those who work ----------------------------------------------------------------------------------------------

    @rule(target=claims, hot=hot_models, mixes=st.booleans(), lease_seconds=st.sampled_from([30, 90]))
    def claim(self, hot: list[HotModel], mixes: bool, lease_seconds: int) -> Any:
        lease = self.name("lease")
        batch = self.claim_on_both(lease, hot, mixes=mixes, lease_ms=lease_seconds * 1000)
        if batch is None:
            return multiple()
        self.batches.append(batch)
        return lease, hot, mixes, batch

    @rule(hot=hot_models)
    def paid_first(self, hot: list[HotModel]) -> None:
        self.both("reap")
        models = {model.name for model in hot}
        waiting = [self.model.get(job) for job in self.asked if self.asked[job].request.model in models]
        paid = {job.id for job in waiting if job.lane is Lane.PAID and job.state is JobState.QUEUED}
        batch = self.claim_on_both(self.name("lease"), hot)
        if batch is None:
            assert not any(job.state is JobState.QUEUED for job in waiting)
            return
        self.batches.append(batch)
        head = self.model.job(batch.jobs[0].id)
        assert not paid or head.line == "paid", "a free job overtook a paid one"

    def claim_on_both(self, lease: str, hot: list[HotModel], **options: Any) -> Batch | None:
        theirs = self.run(self.redis.claim("worker", "slot", hot, lease=lease, **options))
        ours = self.model.claim(lease, "slot", hot, self.clock.now, **options)
        assert theirs == ours
        return ours

    @rule(claim=claims)
    def claim_again(self, claim: Any) -> None:
        lease, hot, mixes, _ = claim
        self.claim_on_both(lease, hot, mixes=mixes)

    @rule(claim=claims, data=st.data(), twice=st.booleans())
    def finish(self, claim: Any, data: st.DataObject, twice: bool) -> None:
        _, _, _, batch = claim
        job = data.draw(st.sampled_from(batch.jobs))
        for attempt in range(1 + twice):
            self.both("finish", batch.lease, job.id, new_result(key=f"results/{batch.lease}-{attempt}.png"))

    @rule(claim=claims)
    def finish_all(self, claim: Any) -> None:
        _, _, _, batch = claim
        results = {job.id: new_result(key=f"results/{batch.lease}.png") for job in batch.jobs}
        done = self.run(self.redis.finish_all(batch.lease, results))
        assert done == {
            job for job, result in results.items() if self.model.finish(batch.lease, job, result, self.clock.now)
        }

    @rule(claim=claims, data=st.data(), kind=st.sampled_from([*FailureKind, FailureKind.RETRY]), twice=st.booleans())
    def fail(self, claim: Any, data: st.DataObject, kind: FailureKind, twice: bool) -> None:
        _, _, _, batch = claim
        job = data.draw(st.sampled_from(batch.jobs))
        for _ in range(1 + twice):
            theirs = self.run(self.redis.fail(batch.lease, job.id, CRASH, kind))
            assert theirs == self.model.fail(batch.lease, job.id, CRASH, self.clock.now, kind)

    @rule(claim=claims)
    def renew(self, claim: Any) -> None:
        _, _, _, batch = claim
        self.both("renew", batch.lease, [job.id for job in batch.jobs])

    @rule(claim=claims)
    def release(self, claim: Any) -> None:
        _, _, _, batch = claim
        self.both("release", batch.lease, [job.id for job in batch.jobs], timed=False)

    @rule(claim=claims, hot=hot_models)
    def a_worker_fails_again_and_again(self, claim: Any, hot: list[HotModel]) -> None:
        """Third failures are rare among random steps."""
        _, _, _, batch = claim
        for _ in range(3):
            for job in batch.jobs:
                self.both("fail", batch.lease, job.id, CRASH)
            if (next_batch := self.claim_on_both(self.name("lease"), hot)) is None:
                return
            batch = next_batch
            self.batches.append(batch)

    # --- the world ---------------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.001, 1, 29, 31, 60, 600, -5]))
    def time_passes(self, seconds: float) -> None:
        self.clock.pass_seconds(seconds)

    @rule()
    def reap(self) -> None:
        self.both("reap")

    @rule()
    def the_server_forgets_its_scripts(self) -> None:
        self.run(self.client.script_flush())

    @rule(job=jobs)
    def position(self, job: NewJob) -> None:
        self.both("position", job.id, timed=False)
        self.both("get", job.id, timed=False)

    @rule(minutes=st.integers(1, 12))
    def demand(self, minutes: int) -> None:
        self.both("demand", minutes)

    # --- what must hold after every step -----------------------------------------------------------------------------

    @invariant()
    def both_told_the_same(self) -> None:
        told, self.model.told = self.model.told, []
        heard, refunds = self.run(self._told())
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

    @invariant()
    def depths_agree(self) -> None:
        assert self.run(self.redis.depths()) == self.model.depths()

    @invariant()
    def every_job_is_in_its_places_and_every_key_has_a_life(self) -> None:
        places, shortest_life = self.run(self._look())
        assert shortest_life > 0, "a key without TTL"
        for job in self.asked:
            record = self.model.get(job)
            queued = record.state is JobState.QUEUED
            expected = {
                "line": queued,
                "batch": queued and not record.solo,
                "shape": queued and not record.solo,
                "followers": record.state is JobState.FOLLOWING,
                "due": record.state not in FINAL_STATES,
            }
            assert places[job] == Counter(kind for kind, there in expected.items() if there), (job, record.state)

    async def _look(self) -> tuple[dict[str, Counter[str]], int]:
        rows: Any = await self.client.eval(LOOK, 0)
        places: dict[str, Counter[str]] = defaultdict(Counter)
        for key, _, *members in rows:
            kind = key.removeprefix(POOL.key("")).split(":")[0]
            for member in members:
                places[member if kind == "due" else member[TICKET_DIGITS:]][kind] += 1
        return places, min((ttl for _, ttl, *_ in rows), default=1)

    def teardown(self) -> None:
        if not hasattr(self, "pubsub"):
            return
        try:
            self.no_job_is_under_two_leases()
            self.everything_ends()
        finally:
            self.run(self.pubsub.aclose())  # type: ignore[no-untyped-call]

    def no_job_is_under_two_leases(self) -> None:
        holders: Counter[str] = Counter()
        for batch in self.batches:
            holders.update(self.both("renew", batch.lease, [job.id for job in batch.jobs]).held)
        running = [job for job in self.asked if self.model.get(job).state is JobState.RUNNING]
        assert holders == Counter(running)

    def everything_ends(self) -> None:
        """A willing worker and a reaper bring every job to its end; each refund is owed, and none is missing."""
        self.clock.pass_seconds(100)
        hot = [HotModel(model, 4) for model in MODELS]
        while batch := self.claim_on_both(self.name("lease"), hot):
            for job in batch.jobs:
                self.both("finish", batch.lease, job.id, new_result())
        self.both_told_the_same()
        for name, asked in self.asked.items():
            record = self.both("get", name, timed=False)
            assert record.state in FINAL_STATES, "a job was lost"
            waited = record.state is JobState.CANCELLED and record.started_at is None
            owed = asked.charge_id is not None and (record.state in {JobState.FAILED, JobState.EXPIRED} or waited)
            assert self.refunded[asked.charge_id or ""] == owed
        assert not any(depth.queued or depth.running for depth in self.model.depths().values())
