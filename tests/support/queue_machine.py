"""Drives the queue in Redis and its model in Python with the same random operations.

Replies get lost (an operation is done again), deliveries come twice, workers die (nobody speaks for a claim any more
while time passes), clocks jump, servers forget their scripts.
"""

import asyncio
import hashlib
from collections import Counter
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, initialize, multiple, rule, run_state_machine_as_test

from modelpool.errors import IdempotencyConflict, JobIsFinal
from modelpool.jobs import FINAL_STATES, JobError, JobState, Lane, NewJob
from modelpool.queue.connection import connect
from modelpool.queue.port import FailureKind, HotModel
from support.queue_twins import MODELS, QueueTwins
from support.queues import new_job, new_result

SUBJECTS = ("ann", "bob")
CRASH = JobError(code="engine_error", message="The kernel crashed.")

hot_models = st.lists(
    st.builds(HotModel, st.sampled_from(MODELS), st.integers(1, 4), st.sampled_from([None, None, 0.5, 2.5])),
    min_size=1,
    max_size=2,
    unique_by=lambda model: model.name,
)


def digest_of(what: str) -> str:
    """A digest: equal for what is alike."""
    return hashlib.sha256(what.encode()).hexdigest()


class QueueMachine(QueueTwins):
    """What may happen to a queue."""

    jobs = Bundle("jobs")
    claims = Bundle("claims")

    @initialize(target=jobs, lane=st.sampled_from(Lane), kinds=st.lists(st.integers(0, 4), min_size=2, max_size=6))
    def begin_with_a_backlog(self, lane: Lane, kinds: list[int]) -> Any:
        self.set_up()
        return self.put_many(lane, SUBJECTS[0], kinds)

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
            digest=digest_of(f"kind {kind}" if alike else name),
            work=work,
            charge_id=f"charge {name}" if charged else None,
            use_cache=use_cache,
            deadline_ms=life * 1000,
            idempotency_key=key,
            fingerprint=fingerprint if key else None,
            trace="00-trace" if charged else None,
        )
        return self.send(job)

    def send(self, job: NewJob) -> NewJob | None:
        answer = self.both("enqueue", job)
        if answer is IdempotencyConflict or answer.record.id != job.id:
            return None
        if answer.record.leader is not None:
            if self.model.job(job.id).billed:
                self.turns[answer.record.leader] = job.subject
            else:
                self.owing.add(job.id)
        self.asked[job.id] = job
        return job

    @rule(
        target=jobs,
        job=jobs,
        others=st.lists(st.tuples(st.sampled_from(Lane), st.sampled_from(SUBJECTS)), min_size=1, max_size=3),
        life=st.sampled_from([60, 600]),
    )
    def others_want_the_same(self, job: NewJob, others: list[tuple[Lane, str]], life: int) -> Any:
        sent = []
        for lane, subject in others:
            name = self.name("same")
            changes = {"id": name, "lane": lane, "subject": f"{lane.value} {subject}", "charge_id": f"charge {name}"}
            more = {"use_cache": True, "idempotency_key": None, "fingerprint": None, "deadline_ms": life * 1000}
            sent.append(self.send(job.model_copy(update={**changes, **more})))
        return multiple(*filter(None, sent))

    @rule(which=st.integers(0, 20), leaders=st.booleans())
    def somebody_in_a_crowd_cancels(self, which: int, leaders: bool) -> None:
        records = [self.model.get(job) for job in sorted(self.asked)]
        crowd = {record.leader if leaders else record.id for record in records if record.leader is not None}
        if crowd:
            self.both("cancel", sorted(filter(None, crowd))[which % len(crowd)])

    @rule(
        target=jobs,
        lane=st.sampled_from(Lane),
        subject=st.sampled_from(SUBJECTS),
        kinds=st.lists(st.integers(0, 4), max_size=6),
    )
    def enqueue_many(self, lane: Lane, subject: str, kinds: list[int]) -> Any:
        return self.put_many(lane, subject, kinds)

    def put_many(self, lane: Lane, subject: str, kinds: list[int]) -> Any:
        return multiple(*filter(None, [self.put(lane, subject, kind, alike=False) for kind in kinds]))

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
        # Who lifts a leader has given a turn for it; paid is paid. A follower that was promoted waits no longer than the
        # next one would, which owes nothing yet: so that is nobody's turn.
        users = Counter(
            self.turns.get(record.id, record.subject)
            for record in ahead
            if self.model.job(record.id).line == "free" and record.id not in self.owing
        )
        assert all(count <= 1 for count in users.values()), users

    @rule(job=jobs, only_waiting=st.booleans())
    def cancel(self, job: NewJob, only_waiting: bool) -> None:
        before = self.model.get(job.id).state
        answer = self.both("cancel", job.id, only_waiting=only_waiting)
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

    @rule(claim=claims)
    def claim_again(self, claim: Any) -> None:
        lease, hot, mixes, _ = claim
        self.claim_on_both(lease, hot, mixes=mixes)

    @rule(claim=claims, data=st.data(), twice=st.booleans())
    def finish(self, claim: Any, data: st.DataObject, twice: bool) -> None:
        _, _, _, batch = claim
        job = data.draw(st.sampled_from(batch.jobs))
        made = data.draw(st.sampled_from([None, digest_of("kind 0"), digest_of("nobody's")]))
        for attempt in range(1 + twice):
            result = new_result(key=f"results/{batch.lease}-{attempt}.png")
            self.both("finish", batch.lease, job.id, result.model_copy(update={"made": made}))

    @rule(claim=claims)
    def finish_all(self, claim: Any) -> None:
        _, _, _, batch = claim
        self.counts["operations"] += 1
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
            self.counts["operations"] += 1
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

    @rule(seconds=st.sampled_from([0.001, 1, 29, 31, 31, 60, 600, -5]), reap=st.booleans())
    def time_passes(self, seconds: float, reap: bool) -> None:
        self.clock.pass_seconds(seconds)
        if reap:
            self.both("reap")

    @rule(job=jobs, minutes=st.integers(1, 12), forget=st.booleans())
    def somebody_looks(self, job: NewJob, minutes: int, forget: bool) -> None:
        if forget:  # the server has been restarted
            self.run(self.client.script_flush())
        self.both("position", job.id, timed=False)
        self.both("get", job.id, timed=False)
        self.both("demand", minutes)


def drive(url: str, examples: int) -> Counter[str]:
    """Run so many examples on one Redis, which is emptied again and again. Returns how much was done.

    :raises AssertionError: the queue and its model differ; hypothesis has printed the shortest way there.
    """
    with asyncio.Runner() as runner:
        client = runner.run(connect(url))

        class Machine(QueueMachine):
            pass

        Machine.runner, Machine.client, Machine.counts = runner, client, Counter()
        try:
            run_state_machine_as_test(
                Machine,
                settings=settings(
                    max_examples=examples,
                    stateful_step_count=40,
                    deadline=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            runner.run(client.aclose())
        return Machine.counts
