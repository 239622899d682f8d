"""From enqueue to a final state: the transitions of the contract, on each kind of Redis."""

from collections.abc import Awaitable, Callable

import pytest

from modelpool.errors import IdempotencyConflict, JobIsFinal, JobNotFound
from modelpool.jobs import JobError, JobFailure, JobState, Lane, NewJob
from modelpool.queue.job import Refund
from modelpool.queue.port import Enqueued, FailureKind, Outcome, Queue, Renewal
from modelpool.queue.rules import DAY_MS
from support.queues import Clock, Worker, new_job, new_result

CRASH = JobError(code="engine_error", message="The kernel crashed.")


Refunds = Callable[[], Awaitable[list[Refund]]]


async def test_a_new_job_is_queued_with_its_whole_record(queue: Queue, clock: Clock) -> None:
    job = new_job(lane=Lane.PAID, subject="ann", work=1.1, price=3, trace="00-abc-def-01", charge_id="c1")
    enqueued = await queue.enqueue(job)
    record = enqueued.record
    assert (enqueued.outcome, enqueued.position) == (Outcome.QUEUED, 0)
    assert record == await queue.get(job.id)
    assert (record.state, record.seq, record.attempts, record.solo) == (JobState.QUEUED, 1, 0, False)
    assert (record.lane, record.subject, record.work, record.price) == (Lane.PAID, "ann", 1.1, 3)
    assert (record.request, record.trace, record.charge_id) == (job.request, "00-abc-def-01", "c1")
    assert (record.enqueued_at, record.deadline) == (clock.now, clock.now + 3_600_000)


@pytest.mark.parametrize("length", [0, 1, 60, 63, 64, 126, 5000, 300_000])
async def test_a_request_of_any_length_and_alphabet_comes_back_whole(queue: Queue, worker: Worker, length: int) -> None:
    job = new_job()
    prompt = ("çß水🌊 12345678901234567890" * length)[:length]
    job = job.model_copy(update={"request": job.request.model_copy(update={"prompt": prompt})})
    await queue.enqueue(job)
    assert (await queue.get(job.id)).request == job.request
    assert (await worker.claim()).jobs[0].request == job.request


async def test_long_errors_and_results_come_back_whole(queue: Queue, worker: Worker) -> None:
    failing, finishing = new_job(), new_job()
    crash = JobError(code="x", message="水 with a long word " * 40)
    await queue.enqueue(failing)
    for _ in range(3):
        batch = await worker.claim()
        await queue.fail(batch.lease, failing.id, crash)
    record = await queue.get(failing.id)
    assert [record.error, *(failure.error for failure in record.failures)] == [crash] * 3
    await queue.enqueue(finishing)
    batch = await worker.claim()
    result = new_result(key="results/" + "水k" * 400)
    await queue.finish(batch.lease, finishing.id, result)
    assert (await queue.get(finishing.id)).result == result
    assert (await queue.enqueue(again := new_job(digest=finishing.digest))).record.result == result
    assert (await queue.get(again.id)).result == result


@pytest.mark.parametrize("length", range(6200, 6420, 20))
async def test_errors_that_grow_past_what_lies_in_small_slices_come_back_whole(
    queue: Queue, worker: Worker, length: int
) -> None:
    await queue.enqueue(job := new_job())
    first = JobError(code="x", message="🌊" * 1500 + "m" * (length - 6000))
    errors = [first, JobError(code="x", message="y"), JobError(code="x", message="z" * 100)]
    for error in errors:
        assert await queue.fail((await worker.claim()).lease, job.id, error)
        record = await queue.get(job.id)
        kept = [failure.error for failure in record.failures] + ([record.error] if record.error else [])
        assert kept == errors[: len(kept)]
    assert record.state is JobState.FAILED


async def test_the_message_of_an_error_is_cut_at_2048_characters(queue: Queue, worker: Worker) -> None:
    await queue.enqueue(job := new_job())
    for sentence in ("水" * 2048, "水" * 2049, "long " * 100_000):
        assert await queue.fail((await worker.claim()).lease, job.id, JobError(code="x", message=sentence))
    record = await queue.get(job.id)
    assert record.error == JobError(code="x", message=("long " * 410)[:2047] + "…")
    assert [failure.error.message for failure in record.failures] == ["水" * 2048, "水" * 2047 + "…"]
    await queue.enqueue(job := new_job())
    crash = JobError(code="x", message="s" * 5000)
    assert await queue.fail((await worker.claim()).lease, job.id, crash, FailureKind.FINAL)
    assert (await queue.get(job.id)).error == JobError(code="x", message="s" * 2047 + "…")


async def test_an_unknown_job_is_not_found(queue: Queue) -> None:
    with pytest.raises(JobNotFound):
        await queue.get("nobody")
    with pytest.raises(JobNotFound):
        await queue.cancel("nobody")
    assert await queue.position("nobody") is None


async def test_a_finished_job_has_its_result(queue: Queue, worker: Worker, clock: Clock) -> None:
    job = new_job()
    await queue.enqueue(job)
    clock.pass_seconds(2)
    batch = await worker.claim()
    running = await queue.get(job.id)
    assert (running.state, running.started_at, running.slot) == (JobState.RUNNING, clock.now, "slot-w1")
    assert await queue.position(job.id) is None
    clock.pass_seconds(3)
    assert await queue.finish(batch.lease, job.id, new_result())
    record = await queue.get(job.id)
    assert (record.state, record.result, record.finished_at) == (JobState.SUCCEEDED, new_result(), clock.now)
    assert record.seq == 3
    assert not await worker.ids()


async def test_a_claim_tells_the_worker_all_it_needs(queue: Queue, worker: Worker, clock: Clock) -> None:
    job = new_job(work=0.1, trace="t")
    await queue.enqueue(job)
    batch = await worker.claim()
    (claimed,) = batch.jobs
    assert (claimed.id, claimed.request, claimed.lane, claimed.work) == (job.id, job.request, job.lane, 0.1)
    assert (claimed.attempts, claimed.solo, claimed.trace) == (0, False, "t")
    assert (claimed.enqueued_at, claimed.deadline) == (clock.now, clock.now + 3_600_000)
    assert (batch.claimed_at, batch.model) == (clock.now, "flux")


async def test_a_repeated_finish_is_answered_alike(queue: Queue, worker: Worker) -> None:
    job = new_job()
    await queue.enqueue(job)
    batch = await worker.claim()
    assert await queue.finish(batch.lease, job.id, new_result())
    assert await queue.finish(batch.lease, job.id, new_result(key="results/other.png"))
    assert (await queue.get(job.id)).result == new_result()
    assert not await queue.finish("another lease", job.id, new_result())


class TestFailure:
    async def test_in_company_every_member_is_alone_next_time_and_nothing_counts(
        self, queue: Queue, worker: Worker
    ) -> None:
        jobs = [new_job() for _ in range(3)]
        for job in jobs:
            await queue.enqueue(job)
        batch = await worker.claim()
        for job in jobs:
            assert await queue.fail(batch.lease, job.id, CRASH)
        for job in jobs:
            (claimed,) = (await worker.claim()).jobs
            assert (claimed.id, claimed.solo, claimed.attempts) == (job.id, True, 0)

    async def test_the_third_failure_alone_is_final_and_refunded(
        self, queue: Queue, worker: Worker, refunds: Refunds, clock: Clock
    ) -> None:
        job = new_job(charge_id="c7", price=5)
        await queue.enqueue(job)
        for attempt in range(3):
            assert (await queue.get(job.id)).attempts == attempt
            assert not await refunds()
            await queue.fail((await worker.claim()).lease, job.id, CRASH)
        record = await queue.get(job.id)
        assert (record.state, record.attempts, record.error) == (JobState.FAILED, 3, CRASH)
        assert await refunds() == [Refund("c7", price=5, day=clock.now // 86_400_000)]
        assert not await worker.ids()

    async def test_the_errors_of_earlier_attempts_are_kept(self, queue: Queue, worker: Worker, clock: Clock) -> None:
        await queue.enqueue(job := new_job())
        await queue.enqueue(mate := new_job())
        errors = [JobError(code="crash", message=f"Line 1\nline 2\u2028of failure {n}.") for n in range(4)]
        started = clock.now
        for n, error in enumerate(errors):
            batch = await worker.claim()
            await queue.fail(batch.lease, job.id, error)
            if n == 0:
                await queue.cancel(mate.id)
            clock.pass_seconds(1)
        record = await queue.get(job.id)
        assert (record.state, record.error) == (JobState.FAILED, errors[3])
        assert record.failures == tuple(
            JobFailure(at=started + n * 1000, slot="slot-w1", error=errors[n]) for n in range(3)
        )

    async def test_what_no_retry_can_mend_fails_at_once(self, queue: Queue, worker: Worker, refunds: Refunds) -> None:
        job = new_job()
        await queue.enqueue(job)
        await queue.fail((await worker.claim()).lease, job.id, CRASH, FailureKind.FINAL)
        record = await queue.get(job.id)
        assert (record.state, record.attempts, record.error) == (JobState.FAILED, 0, CRASH)
        assert len(await refunds()) == 1

    async def test_a_worker_without_the_lease_fails_nothing(self, queue: Queue, worker: Worker) -> None:
        job = new_job()
        await queue.enqueue(job)
        await worker.claim()
        assert not await queue.fail("stale", job.id, CRASH)
        assert (await queue.get(job.id)).state is JobState.RUNNING


class TestLease:
    async def test_a_lapsed_lease_gives_the_job_back_and_fences_its_worker(
        self, queue: Queue, worker: Worker, clock: Clock
    ) -> None:
        job = new_job()
        await queue.enqueue(job)
        lost = await worker.claim()
        clock.pass_seconds(30)
        assert await queue.reap() == 1
        record = await queue.get(job.id)
        assert (record.state, record.attempts, record.solo) == (JobState.QUEUED, 1, True)
        again = await worker.claim()
        assert not await queue.finish(lost.lease, job.id, new_result(key="results/zombie.png"))
        assert (await queue.renew(lost.lease, [job.id])).lost == {job.id}
        assert await queue.finish(again.lease, job.id, new_result())

    async def test_a_worker_that_dies_in_company_costs_nobody_an_attempt(
        self, queue: Queue, worker: Worker, clock: Clock
    ) -> None:
        jobs = [new_job(), new_job()]
        for job in jobs:
            await queue.enqueue(job)
        await worker.claim()
        clock.pass_seconds(31)
        assert await queue.reap() == 2
        for job in jobs:
            record = await queue.get(job.id)
            assert (record.state, record.attempts, record.solo) == (JobState.QUEUED, 0, True)

    async def test_a_renewed_lease_holds(self, queue: Queue, worker: Worker, clock: Clock) -> None:
        job = new_job()
        await queue.enqueue(job)
        batch = await worker.claim()
        for _ in range(4):
            clock.pass_seconds(20)
            assert (await queue.renew(batch.lease, [job.id])).held == {job.id}
            assert await queue.reap() == 0
        assert await queue.finish(batch.lease, job.id, new_result())

    async def test_a_third_worker_lost_is_final(self, queue: Queue, worker: Worker, clock: Clock) -> None:
        job = new_job()
        await queue.enqueue(job)
        for _ in range(3):
            await worker.claim()
            clock.pass_seconds(30)
            await queue.reap()
        record = await queue.get(job.id)
        assert record.state is JobState.FAILED
        assert record.error is not None
        assert record.error.code == "worker_lost"

    async def test_a_claim_does_not_wait_for_the_reaper(self, queue: Queue, worker: Worker, clock: Clock) -> None:
        job = new_job()
        await queue.enqueue(job)
        await worker.claim()
        clock.pass_seconds(30)
        assert await worker.ids() == [job.id]

    async def test_released_jobs_stay_as_they_were(self, queue: Queue, worker: Worker) -> None:
        jobs = [new_job(), new_job()]
        for job in jobs:
            await queue.enqueue(job)
        ids = [job.id for job in jobs]
        batch = await worker.claim()
        assert await queue.release(batch.lease, ids) == 2
        assert await queue.release(batch.lease, ids) == 0
        again = await worker.claim()
        assert [(job.id, job.solo, job.attempts) for job in again.jobs] == [(id, False, 0) for id in ids]


class TestCancel:
    async def test_a_waiting_job_is_cancelled_and_refunded_once(
        self, queue: Queue, worker: Worker, refunds: Refunds
    ) -> None:
        job = new_job()
        await queue.enqueue(job)
        assert (await queue.cancel(job.id)).state is JobState.CANCELLED
        assert (await queue.cancel(job.id)).state is JobState.CANCELLED
        assert len(await refunds()) == 1
        assert not await worker.ids()

    async def test_a_running_job_is_cancelled_without_refund_and_its_worker_is_told(
        self, queue: Queue, worker: Worker, refunds: Refunds
    ) -> None:
        jobs = [new_job(), new_job()]
        for job in jobs:
            await queue.enqueue(job)
        batch = await worker.claim()
        await queue.cancel(jobs[0].id)
        renewal = await queue.renew(batch.lease, [job.id for job in jobs])
        assert renewal == Renewal(frozenset({jobs[1].id}), lost=frozenset(), cancelled=frozenset({jobs[0].id}))
        assert not await queue.finish(batch.lease, jobs[0].id, new_result())
        assert (await queue.get(jobs[0].id)).result is None
        assert not await refunds()

    async def test_only_a_waiting_job_is_cancelled_where_that_is_asked_for(
        self, queue: Queue, worker: Worker, refunds: Refunds
    ) -> None:
        running, waiting = new_job(), new_job(steps=9)
        await queue.enqueue(running)
        await queue.enqueue(waiting)
        batch = await worker.claim()
        assert (await queue.cancel(running.id, only_waiting=True)).state is JobState.RUNNING
        assert (await queue.cancel(waiting.id, only_waiting=True)).state is JobState.CANCELLED
        assert [refund.charge for refund in await refunds()] == [waiting.charge_id]
        assert await queue.finish(batch.lease, running.id, new_result())
        with pytest.raises(JobIsFinal):
            await queue.cancel(running.id, only_waiting=True)

    async def test_a_job_that_has_ended_cannot_be_cancelled(self, queue: Queue, worker: Worker) -> None:
        job = new_job()
        await queue.enqueue(job)
        await queue.finish((await worker.claim()).lease, job.id, new_result())
        with pytest.raises(JobIsFinal):
            await queue.cancel(job.id)


class TestDeadline:
    async def test_the_refund_goes_to_the_day_of_the_charge(
        self, queue: Queue, worker: Worker, refunds: Refunds, clock: Clock
    ) -> None:
        today = clock.now // DAY_MS
        clock.now = (today + 1) * DAY_MS - 1
        await queue.enqueue(job := new_job(price=3, deadline_ms=60_000))
        clock.pass_seconds(61)
        assert await queue.reap() == 1
        assert clock.now // DAY_MS == today + 1
        assert await refunds() == [Refund(job.charge_id or "", 3, today)]

    async def test_a_waiting_job_expires_with_a_refund(
        self, queue: Queue, worker: Worker, refunds: Refunds, clock: Clock
    ) -> None:
        job = new_job(deadline_ms=60_000)
        await queue.enqueue(job)
        clock.pass_seconds(59)
        assert await queue.reap() == 0
        clock.pass_seconds(1)
        assert await queue.reap() == 1
        record = await queue.get(job.id)
        assert record.state is JobState.EXPIRED
        assert record.error is not None
        assert len(await refunds()) == 1
        assert not await worker.ids()

    async def test_a_running_job_expires_however_often_it_is_renewed(
        self, queue: Queue, worker: Worker, refunds: Refunds, clock: Clock
    ) -> None:
        job = new_job(deadline_ms=40_000)
        await queue.enqueue(job)
        batch = await worker.claim()
        clock.pass_seconds(20)
        await queue.renew(batch.lease, [job.id])
        clock.pass_seconds(20)
        await queue.reap()
        assert (await queue.get(job.id)).state is JobState.EXPIRED
        assert (await queue.renew(batch.lease, [job.id])).lost == {job.id}
        assert not await queue.finish(batch.lease, job.id, new_result())
        assert len(await refunds()) == 1

    async def test_any_number_of_overdue_jobs_expires_in_one_reap(self, queue: Queue, clock: Clock) -> None:
        for _ in range(200):
            await queue.enqueue(new_job(deadline_ms=1000))
        clock.pass_seconds(1)
        assert await queue.reap() == 200
        assert await queue.reap() == 0

    async def test_a_claim_hands_out_no_job_whose_time_is_over_however_many_there_are(
        self, queue: Queue, worker: Worker, clock: Clock
    ) -> None:
        for _ in range(200):
            await queue.enqueue(new_job(deadline_ms=1000))
        job = new_job()
        await queue.enqueue(job)
        clock.pass_seconds(1)
        assert await worker.ids() == [job.id]


class TestSameRequestAgain:
    async def repeated(self, queue: Queue, job: NewJob, outcome: Outcome) -> Enqueued:
        again = await queue.enqueue(job)
        assert again.outcome is outcome
        return again

    async def test_one_idempotency_key_is_one_job(self, queue: Queue) -> None:
        first = new_job(idempotency_key="k", fingerprint="f")
        await queue.enqueue(first)
        again = await self.repeated(queue, new_job(idempotency_key="k", fingerprint="f"), Outcome.REPEATED)
        assert (again.record.id, again.position) == (first.id, 0)
        assert (await queue.depths())["flux"].queued == 1

    async def test_with_another_body_it_is_a_conflict(self, queue: Queue) -> None:
        await queue.enqueue(new_job(idempotency_key="k", fingerprint="f"))
        with pytest.raises(IdempotencyConflict):
            await queue.enqueue(new_job(idempotency_key="k", fingerprint="g"))

    async def test_an_enqueue_whose_reply_was_lost_may_be_sent_again(self, queue: Queue) -> None:
        for job in (new_job(), new_job(idempotency_key="k", fingerprint="f")):
            before = await queue.enqueue(job)
            assert await self.repeated(queue, job, Outcome.QUEUED) == before
        assert (await queue.depths())["flux"].queued == 2

    async def test_a_known_result_comes_from_the_cache(self, queue: Queue, worker: Worker, refunds: Refunds) -> None:
        first = new_job(digest="d" * 64)
        await queue.enqueue(first)
        await queue.finish((await worker.claim()).lease, first.id, new_result())
        job = new_job(digest="d" * 64)
        cached = await queue.enqueue(job)
        assert (cached.outcome, cached.position) == (Outcome.CACHED, None)
        assert cached.record == await queue.get(job.id)
        assert (cached.record.state, cached.record.cached) == (JobState.SUCCEEDED, True)
        assert cached.record.result == new_result()
        assert not await refunds()  # a cache hit is charged like any other

    async def test_a_result_is_kept_as_what_it_was_made_as_not_as_what_was_asked_for(
        self, queue: Queue, worker: Worker
    ) -> None:
        asked, made = new_job(digest="a" * 64), new_result().model_copy(update={"made": "b" * 64})
        await queue.enqueue(asked)
        assert await queue.finish((await worker.claim()).lease, asked.id, made)
        assert (await queue.get(asked.id)).result == new_result()
        assert (await queue.enqueue(new_job(digest="a" * 64))).outcome is Outcome.QUEUED
        assert (await queue.enqueue(new_job(digest="b" * 64))).record.result == new_result()

    async def test_who_wants_no_cache_gets_a_picture_of_their_own(self, queue: Queue, worker: Worker) -> None:
        first = new_job(digest="d" * 64)
        await queue.enqueue(first)
        assert (await queue.enqueue(new_job(digest="d" * 64, use_cache=False))).outcome is Outcome.QUEUED
        await queue.finish((await worker.claim()).lease, first.id, new_result())
        assert (await queue.enqueue(new_job(digest="d" * 64, use_cache=False))).outcome is Outcome.QUEUED
