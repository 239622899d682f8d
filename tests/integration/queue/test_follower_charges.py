"""A follower is charged like a leader, gets its units back when a leader would, and gives a turn for whom it helps."""

import hashlib
from collections.abc import Awaitable, Callable

import pytest

from modelpool.jobs import JobError, JobState, Lane, NewJob
from modelpool.queue.job import Refund
from modelpool.queue.port import FailureKind, Queue
from support.queues import Clock, Worker, new_job, new_result

CRASH = JobError(code="engine_error", message="The kernel crashed.")
Refunds = Callable[[], Awaitable[list[Refund]]]


@pytest.fixture
async def pair(queue: Queue) -> tuple[NewJob, NewJob]:
    """A leader, and a follower of another user who pays another price."""
    digest = hashlib.sha256(b"the same for both").hexdigest()
    leader = new_job(lane=Lane.ANONYMOUS, subject="lead", digest=digest, price=2)
    follower = new_job(lane=Lane.ANONYMOUS, subject="other", digest=digest, price=3)
    await queue.enqueue(leader)
    assert (await queue.enqueue(follower)).record.state is JobState.FOLLOWING
    return leader, follower


async def given_back(refunds: Refunds) -> dict[str, int]:
    """Units by charge."""
    return {refund.charge: refund.price for refund in await refunds()}


async def test_when_the_leader_fails_both_get_their_units_back(
    queue: Queue, worker: Worker, refunds: Refunds, pair: tuple[NewJob, NewJob]
) -> None:
    leader, follower = pair
    batch = await worker.claim()
    await queue.fail(batch.lease, leader.id, CRASH, FailureKind.FINAL)
    assert await given_back(refunds) == {leader.charge_id: 2, follower.charge_id: 3}


async def test_a_follower_who_cancels_gets_its_own_units_back_even_while_the_leader_runs(
    queue: Queue, worker: Worker, refunds: Refunds, pair: tuple[NewJob, NewJob]
) -> None:
    _, follower = pair
    await worker.claim()
    await queue.cancel(follower.id)
    assert await given_back(refunds) == {follower.charge_id: 3}


async def test_who_has_moved_ahead_what_runs_by_now_has_had_it_run(
    queue: Queue, worker: Worker, refunds: Refunds
) -> None:
    """Else whoever pays could have the jobs of others run first, one after the other, for nothing."""
    await queue.enqueue(new_job(lane=Lane.ANONYMOUS, subject="friend"))
    await queue.enqueue(job := new_job(lane=Lane.ANONYMOUS, subject="friend"))
    paid = [new_job(lane=Lane.PAID, subject=f"paid {number}", digest=job.digest) for number in range(2)]
    await queue.enqueue(paid[0])
    batch = await worker.claim()
    assert batch.jobs[0].id == job.id
    await queue.enqueue(paid[1])
    for each in paid:
        await queue.cancel(each.id)
    assert await given_back(refunds) == {paid[1].charge_id: paid[1].price}
    assert [(await queue.get(job.id)).started_at is not None for job in paid] == [True, False]


async def test_when_time_runs_out_both_get_their_units_back(
    queue: Queue, refunds: Refunds, clock: Clock, pair: tuple[NewJob, NewJob]
) -> None:
    leader, follower = pair
    clock.pass_seconds(1 + max(job.deadline_ms for job in pair) / 1000)
    await queue.reap()
    await queue.reap()  # what followed has become a leader of its own in between
    assert {(await queue.get(job.id)).state for job in pair} == {JobState.EXPIRED}
    assert await given_back(refunds) == {leader.charge_id: 2, follower.charge_id: 3}


async def test_a_leader_who_cancels_gets_its_units_back_and_its_heir_pays_for_the_picture(
    queue: Queue, worker: Worker, refunds: Refunds, pair: tuple[NewJob, NewJob]
) -> None:
    leader, follower = pair
    await queue.cancel(leader.id)
    batch = await worker.claim()
    assert await queue.finish(batch.lease, follower.id, new_result())
    assert await given_back(refunds) == {leader.charge_id: 2}


async def test_a_picture_that_arrives_is_paid_for_by_both(
    queue: Queue, worker: Worker, refunds: Refunds, pair: tuple[NewJob, NewJob]
) -> None:
    leader, follower = pair
    batch = await worker.claim()
    await queue.finish(batch.lease, leader.id, new_result())
    assert (await queue.get(follower.id)).state is JobState.SUCCEEDED
    assert await given_back(refunds) == {}


async def test_nobodys_heirs_get_more_turns_than_they_and_their_accomplice_have(queue: Queue) -> None:
    """To follow costs nothing: so an accomplice could follow everywhere, and lend its place again and again."""
    leaders = [new_job(subject=f"fresh {number}") for number in range(6)]
    heirs: list[NewJob] = []
    for leader in leaders:
        await queue.enqueue(leader)
    for leader in leaders:
        for subject in ("heir", "accomplice"):
            job = new_job(subject=subject, digest=leader.digest)
            assert (await queue.enqueue(job)).record.state is JobState.FOLLOWING
            heirs += [job] if subject == "heir" else []
    for leader in leaders:
        await queue.cancel(leader.id)
    assert {(await queue.get(heir.id)).state for heir in heirs} == {JobState.QUEUED}
    assert (await queue.enqueue(new_job(subject="newcomer"))).position == 2, "one turn of either"


async def test_a_free_job_goes_back_to_its_place_when_the_last_paid_follower_takes_its_money(queue: Queue) -> None:
    waiting = [new_job(lane=Lane.ANONYMOUS, subject="many") for _ in range(3)]
    for job in waiting:
        await queue.enqueue(job)
    paid = [new_job(lane=Lane.PAID, subject=f"paid {number}", digest=waiting[2].digest) for number in range(2)]
    for job in paid:
        await queue.enqueue(job)
    assert await queue.position(waiting[2].id) == 0
    await queue.cancel(paid[0].id)
    assert await queue.position(waiting[2].id) == 0, "one still pays"
    await queue.cancel(paid[1].id)
    assert [await queue.position(job.id) for job in waiting] == [0, 1, 2]


async def test_a_free_job_that_runs_when_the_paid_follower_leaves_comes_back_to_the_free_line(
    queue: Queue, worker: Worker
) -> None:
    waiting = [new_job(lane=Lane.ANONYMOUS, subject="many") for _ in range(3)]
    for job in waiting:
        await queue.enqueue(job)
    paid = new_job(lane=Lane.PAID, subject="paid", digest=waiting[2].digest)
    await queue.enqueue(paid)
    batch = await worker.claim()
    await queue.cancel(paid.id)
    await queue.release(batch.lease, [job.id for job in batch.jobs])
    assert [await queue.position(job.id) for job in waiting] == [0, 1, 2]


async def test_a_free_job_that_goes_back_waits_no_longer_than_a_free_follower_would(queue: Queue) -> None:
    waiting = [new_job(lane=Lane.ANONYMOUS, subject="many") for _ in range(4)]
    for job in waiting:
        await queue.enqueue(job)
    paid = new_job(lane=Lane.PAID, subject="paid", digest=waiting[3].digest)
    await queue.enqueue(paid)
    await queue.enqueue(new_job(lane=Lane.ANONYMOUS, subject="light", digest=waiting[3].digest))
    await queue.cancel(paid.id)
    assert [await queue.position(job.id) for job in waiting] == [0, 2, 3, 1]
    await queue.enqueue(late := new_job(lane=Lane.ANONYMOUS, subject="light"))
    assert await queue.position(late.id) == 3, "the turn was given away"
