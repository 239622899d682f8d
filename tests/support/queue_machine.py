"""Drives the queue in Redis and its model in Python with the same random operations.

Replies get lost (an operation is done again), deliveries come twice, workers die (nobody speaks for a claim any more
while time passes), clocks jump, servers forget their scripts.
"""

import asyncio
from collections import Counter
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, multiple, rule, run_state_machine_as_test

from modelpool.jobs import JobError, JobState, Lane, NewJob
from modelpool.queue.connection import connect
from modelpool.queue.port import FailureKind, HotModel
from support.queue_askers import Askers, digest_of
from support.queue_twins import MODELS
from support.queues import new_result

CRASH = JobError(code="engine_error", message="The kernel crashed.")

hot_models = st.lists(
    st.builds(HotModel, st.sampled_from(MODELS), st.integers(1, 4), st.sampled_from([None, None, 0.5, 2.5])),
    min_size=1,
    max_size=2,
    unique_by=lambda model: model.name,
)


class QueueMachine(Askers):
    """What may happen to a queue."""

    jobs = Askers.jobs
    claims = Bundle("claims")

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
