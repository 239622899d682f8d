"""Who is served next, and who shares a batch."""

from typing import Any

import pytest

from modelpool.jobs import JobError, JobState, Lane, NewJob
from modelpool.queue.port import HotModel, Outcome, Queue
from support.queues import Clock, Worker, new_job, new_result

CRASH = JobError(code="engine_error", message="The kernel crashed.")


async def put(queue: Queue, *jobs: NewJob) -> list[str]:
    for job in jobs:
        await queue.enqueue(job)
    return [job.id for job in jobs]


class TestFairness:
    async def test_one_user_is_served_in_order_of_arrival(self, queue: Queue) -> None:
        ids = await put(queue, *(new_job(subject="ann") for _ in range(20)))
        worker = Worker(queue, HotModel("flux", 1))
        assert [(await worker.ids())[0] for _ in range(20)] == ids

    async def test_many_newcomers_are_served_in_order_of_arrival(self, queue: Queue) -> None:
        ids = await put(queue, *(new_job(subject=f"user{n}") for n in range(20)))
        worker = Worker(queue, HotModel("flux", 1))
        assert [(await worker.ids())[0] for _ in range(20)] == ids

    async def test_a_newcomer_waits_for_at_most_one_more_job_of_a_heavy_user(self, queue: Queue) -> None:
        await put(queue, *(new_job(subject="heavy") for _ in range(50)))
        worker = Worker(queue, HotModel("flux", 1))
        for _ in range(10):
            await worker.ids()
        (light,) = await put(queue, new_job(subject="light"))
        served = [(await worker.ids())[0] for _ in range(2)]
        assert light in served

    async def test_a_newcomer_is_not_held_up_by_a_backlog_that_stood_still(self, queue: Queue) -> None:
        """`cold` has a backlog from a time long gone by for those who use `flux`."""
        await put(queue, *(new_job("cold", subject="heavy") for _ in range(50)))
        await put(queue, *(new_job("flux", subject="other") for _ in range(50)))
        for _ in range(50):
            await Worker(queue, HotModel("flux", 1)).ids()
        (light,) = await put(queue, new_job("cold", subject="light"))
        assert await queue.position(light) == 1

    async def test_what_piled_up_while_its_model_was_hot_nowhere_takes_turns_with_newcomers_to_others(
        self, queue: Queue
    ) -> None:
        await put(queue, *(new_job("cold", subject="heavy") for _ in range(50)))
        await put(queue, *(new_job("flux", subject="other") for _ in range(50)))
        for _ in range(50):
            await Worker(queue, HotModel("flux", 1)).ids()
        both = Worker(queue, HotModel("cold", 1), HotModel("flux", 1))
        for _ in range(3):
            await both.ids()
        light = await put(queue, *(new_job("flux", subject=f"light{n}") for n in range(3)))
        served = [(await both.ids())[0] for _ in range(4)]
        assert set(light) < set(served), "and one more of the heavy user's"
        await put(queue, *(new_job("flux", subject="busy") for _ in range(10)))
        served = [(await queue.get((await both.ids())[0])).subject for _ in range(8)]
        assert served.count("heavy") == pytest.approx(4, abs=1)

    async def test_nobody_waits_behind_a_job_that_has_to_wait_itself(self, queue: Queue) -> None:
        """Old and large jobs of one user are first in `cold`; after one of them it is the others' turn."""
        await put(queue, *(new_job("cold", subject="heavy", work=100) for _ in range(5)))
        await put(queue, *(new_job("flux", subject="other") for _ in range(60)))
        for _ in range(30):
            await Worker(queue, HotModel("flux", 1)).ids()
        both = Worker(queue, HotModel("cold", 1), HotModel("flux", 1))
        assert (await queue.get((await both.ids())[0])).subject == "heavy"
        (light,) = await put(queue, new_job("cold", subject="light"))
        assert light in {(await both.ids())[0] for _ in range(2)}

    async def test_who_is_given_much_in_one_line_holds_up_nobody_in_another(self, queue: Queue) -> None:
        """What `busy` asked for in `flux` piles up there while its old jobs in `cold` are served."""
        await put(queue, *(new_job("cold", subject="busy") for _ in range(60)))
        await put(queue, *(new_job("flux", subject="other") for _ in range(60)))
        for _ in range(60):
            await Worker(queue, HotModel("flux", 1)).ids()
        await put(queue, *(new_job("flux", subject=user) for _ in range(30) for user in ("busy", "light")))
        both = Worker(queue, HotModel("cold", 1), HotModel("flux", 1))
        served = [(await queue.get((await both.ids())[0])).subject for _ in range(60)]
        for start in range(0, 60, 10):
            assert "light" in served[start : start + 4], "after at most one of `busy` for each model"

    @pytest.mark.parametrize("paid", [False, True])
    async def test_a_leader_that_was_lifted_takes_turns_as_who_lifted_it(self, queue: Queue, paid: bool) -> None:
        """Even when somebody who pays has come and gone since."""
        old = [new_job("cold", subject="heavy", work=100) for _ in range(5)]
        await put(queue, *old)
        await put(queue, *(new_job("flux", subject="other") for _ in range(60)))
        for _ in range(30):
            await Worker(queue, HotModel("flux", 1)).ids()
        both = Worker(queue, HotModel("cold", 1), HotModel("flux", 1))
        await both.ids()
        await put(queue, new_job("cold", subject="light", digest=old[4].digest))
        if paid:
            (payer,) = await put(queue, new_job("cold", Lane.PAID, subject="payer", digest=old[4].digest))
            await queue.cancel(payer)
        assert old[4].id in {(await both.ids())[0] for _ in range(2)}

    async def test_who_was_served_while_nobody_else_asked_owes_nothing_for_it(self, queue: Queue) -> None:
        await put(queue, *(new_job(model, subject=user) for user in ("ann", "bob") for model in ("cold", "warm") * 20))
        await put(queue, *(new_job("flux", subject="other") for _ in range(90)))
        for _ in range(90):
            await Worker(queue, HotModel("flux", 1)).ids()
        every = Worker(queue, HotModel("cold", 1), HotModel("warm", 1), HotModel("flux", 1))
        for _ in range(40):
            await every.ids()
        await put(queue, *(new_job("flux", subject="busy") for _ in range(20)))
        served = [(await queue.get((await every.ids())[0])).subject for _ in range(12)]
        assert served.count("busy") <= 5, "a third, and one more"

    async def test_only_the_first_job_profits_from_an_old_one_that_came_back(self, queue: Queue) -> None:
        old = (await put(queue, *(new_job(subject="ann") for _ in range(100))))[0]
        worker = Worker(queue, HotModel("flux", 1))
        lease = (await worker.claim()).lease
        for _ in range(99):
            await worker.claim()
        (carl,) = await put(queue, new_job(subject="carl"))
        await queue.release(lease, [old])
        await put(queue, *(new_job(subject="bob") for _ in range(100)))
        assert await queue.position(carl) == 2, "behind the old job and the first of bob"

    async def test_a_batch_mate_from_far_behind_does_not_push_newcomers_back(self, queue: Queue) -> None:
        await put(queue, new_job(subject="heavy"), *(new_job(subject="heavy", steps=9) for _ in range(30)))
        await put(queue, new_job(subject="heavy"))  # shares the first one's key
        assert len(await Worker(queue, "flux").ids()) == 2
        (light,) = await put(queue, new_job(subject="light"))
        assert await queue.position(light) == 0

    async def test_accounts_get_twice_the_share_of_anonymous_users(self, queue: Queue) -> None:
        accounts = await put(queue, *(new_job(subject="acc", lane=Lane.ACCOUNT) for _ in range(30)))
        await put(queue, *(new_job(subject="anon", lane=Lane.ANONYMOUS) for _ in range(30)))
        worker = Worker(queue, HotModel("flux", 1))
        served = [(await worker.ids())[0] for _ in range(30)]
        assert len(set(served) & set(accounts)) == pytest.approx(20, abs=1)

    async def test_large_jobs_cost_their_user_more_of_the_line(self, queue: Queue) -> None:
        large = await put(queue, *(new_job(subject="video", work=10) for _ in range(10)))
        await put(queue, *(new_job(subject="image", work=1) for _ in range(50)))
        worker = Worker(queue, HotModel("flux", 1))
        served = [(await worker.ids())[0] for _ in range(22)]
        assert len(set(served) & set(large)) == 2

    async def test_a_retry_keeps_its_place(self, queue: Queue) -> None:
        first, second, third = await put(queue, *(new_job(subject=f"user{n}") for n in range(3)))
        worker = Worker(queue, HotModel("flux", 1))
        batch = await worker.claim()
        await queue.fail(batch.lease, first, CRASH)
        assert [await queue.position(job) for job in (first, second, third)] == [0, 1, 2]


class TestPaidFirst:
    async def test_no_free_job_starts_while_a_paid_one_waits_for_any_hot_model(self, queue: Queue) -> None:
        free = await put(queue, *(new_job("flux", Lane.ACCOUNT, subject=f"u{n}") for n in range(3)))
        paid = await put(queue, *(new_job("sdxl", Lane.PAID, subject="p", steps=n) for n in range(1, 4)))
        worker = Worker(queue, "flux", "sdxl")
        assert [await worker.ids() for _ in range(3)] == [[job] for job in paid]
        assert await worker.ids() == free

    async def test_free_jobs_join_a_paid_batch_only_when_no_other_paid_job_can(self, queue: Queue) -> None:
        free = await put(queue, *(new_job(subject=f"f{n}") for n in range(4)))
        paid = await put(queue, *(new_job(lane=Lane.PAID, subject=f"p{n}") for n in range(3)))
        assert await Worker(queue, HotModel("flux", 2)).ids() == paid[:2]
        assert await Worker(queue, HotModel("flux", 4)).ids() == [paid[2], *free[:3]]

    async def test_a_position_counts_all_paid_jobs_and_those_with_an_earlier_start(self, queue: Queue) -> None:
        free = await put(queue, *(new_job(subject=f"f{n}") for n in range(3)))
        paid = await put(queue, *(new_job(lane=Lane.PAID, subject=f"p{n}") for n in range(2)))
        assert [await queue.position(job) for job in paid + free] == [0, 1, 2, 3, 4]


class TestBatch:
    async def test_jobs_share_a_batch_when_both_keys_agree(self, queue: Queue, worker: Worker) -> None:
        one, other, two = await put(queue, new_job(), new_job(steps=9), new_job())
        assert await worker.ids() == [one, two]
        assert await worker.ids() == [other]

    async def test_an_engine_that_mixes_batches_by_shape_alone(self, queue: Queue, worker: Worker) -> None:
        assert not await worker.ids(mixes=True)
        one, _, three = await put(queue, new_job(), new_job(width=1024), new_job(steps=9))
        assert await worker.ids(mixes=True) == [one, three]

    async def test_jobs_from_before_the_first_mixing_claim_are_batched_by_both_keys(
        self, queue: Queue, worker: Worker
    ) -> None:
        one, other, two = await put(queue, new_job(), new_job(steps=9), new_job())
        assert await worker.ids(mixes=True) == [one, two]
        assert await worker.ids(mixes=True) == [other]

    async def test_the_cap_belongs_to_the_model(self, queue: Queue) -> None:
        await put(queue, *(new_job("flux", subject=f"u{n}") for n in range(9)))
        assert len(await Worker(queue, HotModel("flux", 5), HotModel("sdxl", 2)).ids()) == 5

    async def test_a_batch_stops_at_its_work_limit_but_takes_one_at_least(self, queue: Queue) -> None:
        await put(queue, *(new_job(subject=f"u{n}", work=2.0) for n in range(5)))
        assert len(await Worker(queue, HotModel("flux", 8, max_work=6.5)).ids()) == 3
        assert len(await Worker(queue, HotModel("flux", 8, max_work=1)).ids()) == 1

    async def test_a_worker_gets_only_what_it_holds(self, queue: Queue) -> None:
        await put(queue, new_job("sdxl"))
        assert not await Worker(queue, "flux").ids()
        assert not await Worker(queue).ids()

    async def test_a_solo_job_takes_nobody_along(self, queue: Queue, worker: Worker) -> None:
        jobs = await put(queue, new_job(subject="a"), new_job(subject="b"))
        batch = await worker.claim()
        for job in jobs:
            await queue.fail(batch.lease, job, CRASH)
        late = await put(queue, new_job(subject="c"), new_job(subject="d"))
        assert [await worker.ids() for _ in range(3)] == [[jobs[0]], [jobs[1]], late]


class TestFollowers:
    DIGEST = "d" * 64

    def same(self, lane: Lane = Lane.ANONYMOUS, subject: str = "anon", **fields: Any) -> NewJob:
        return new_job(lane=lane, subject=subject, digest=self.DIGEST, **fields)

    async def test_an_identical_job_follows_and_ends_with_its_leader(
        self, queue: Queue, worker: Worker, clock: Clock
    ) -> None:
        leader, follower = self.same(), self.same(subject="other")
        await queue.enqueue(leader)
        joined = await queue.enqueue(follower)
        assert (joined.outcome, joined.position) == (Outcome.JOINED, 0)
        assert joined.record == await queue.get(follower.id)
        assert (joined.record.state, joined.record.leader) == (JobState.FOLLOWING, leader.id)
        batch = await worker.claim()
        assert [job.id for job in batch.jobs] == [leader.id]
        clock.pass_seconds(5)
        await queue.finish(batch.lease, leader.id, new_result())
        record = await queue.get(follower.id)
        assert (record.state, record.result, record.finished_at) == (JobState.SUCCEEDED, new_result(), clock.now)

    async def test_a_follower_of_a_higher_lane_lifts_its_leader(self, queue: Queue) -> None:
        first, leader, paid = new_job(subject="x"), self.same(), self.same(Lane.PAID, "payer")
        await put(queue, first, leader, paid)
        assert await queue.position(leader.id) == await queue.position(paid.id) == 0
        assert await Worker(queue, HotModel("flux", 1)).ids() == [leader.id]

    async def test_a_light_users_follower_lifts_a_heavy_users_leader(self, queue: Queue) -> None:
        await put(queue, *(new_job(subject="heavy") for _ in range(20)))
        await put(queue, self.same(Lane.ACCOUNT, "heavy"))
        joined = await queue.enqueue(self.same(Lane.ACCOUNT, "light"))
        assert joined.position == 1

    async def test_an_accomplice_lifts_no_more_jobs_than_its_own_turns(self, queue: Queue) -> None:
        heavy = [new_job(subject="heavy") for _ in range(50)]
        await put(queue, *heavy)
        (waiting,) = await put(queue, new_job(subject="waiting", work=2))
        again = {"subject": "accomplice", "charge_id": None}
        for job in heavy:
            await queue.enqueue(job.model_copy(update={"id": f"again-{job.id}", **again}))
        assert await queue.position(waiting) == 2, "behind the first of heavy and the first of the accomplice"
        (newcomer,) = await put(queue, new_job(subject="newcomer"))
        assert await queue.position(newcomer) == 3, "and behind the one that waits"

    async def test_who_lifted_a_leader_and_takes_its_place_owes_once(self, queue: Queue) -> None:
        await put(queue, *(new_job(subject="heavy") for _ in range(5)))
        leader, _ = await put(queue, self.same(Lane.ACCOUNT, "heavy"), lifts := self.same(Lane.ACCOUNT, "light"))
        await queue.cancel(leader)
        (late,) = await put(queue, new_job(subject="light"))
        assert (await queue.position(lifts.id), await queue.position(late)) == (1, 3)

    async def test_a_follower_of_a_running_leader_has_no_place_in_line(self, queue: Queue, worker: Worker) -> None:
        await put(queue, self.same())
        await worker.claim()
        assert (await queue.enqueue(self.same())).position is None

    async def test_cancelling_a_leader_promotes_the_first_follower_of_the_highest_lane(self, queue: Queue) -> None:
        leader, anonymous, account, paid, late = await put(
            queue,
            self.same(),
            self.same(),
            self.same(Lane.ACCOUNT, "acc"),
            self.same(Lane.PAID, "p1"),
            self.same(Lane.PAID, "p2"),
        )
        await queue.cancel(leader)
        assert (await queue.get(paid)).state is JobState.QUEUED
        for follower in (anonymous, account, late):
            record = await queue.get(follower)
            assert (record.state, record.leader) == (JobState.FOLLOWING, paid)
        batch = await Worker(queue, "flux").claim()
        await queue.finish(batch.lease, paid, new_result())
        assert (await queue.get(anonymous)).state is JobState.SUCCEEDED

    async def test_cancelling_a_running_leader_starts_the_work_again_for_its_follower(
        self, queue: Queue, worker: Worker
    ) -> None:
        leader, follower = await put(queue, self.same(), self.same())
        batch = await worker.claim()
        await queue.cancel(leader)
        assert not await queue.finish(batch.lease, leader, new_result())
        assert await worker.ids() == [follower]

    async def test_an_expired_leader_hands_over(self, queue: Queue, clock: Clock) -> None:
        leader, follower = await put(queue, self.same(deadline_ms=1000), self.same())
        clock.pass_seconds(1)
        await queue.reap()
        assert (await queue.get(leader)).state is JobState.EXPIRED
        assert (await queue.get(follower)).state is JobState.QUEUED

    async def test_a_cancelled_follower_leaves_its_leader_alone(self, queue: Queue, worker: Worker) -> None:
        leader, follower = await put(queue, self.same(), self.same())
        await queue.cancel(follower)
        batch = await worker.claim()
        await queue.finish(batch.lease, leader, new_result())
        assert (await queue.get(leader)).state is JobState.SUCCEEDED
        assert (await queue.get(follower)).state is JobState.CANCELLED

    async def test_what_fails_for_the_leader_fails_for_all(self, queue: Queue, worker: Worker) -> None:
        leader, follower = await put(queue, self.same(), self.same())
        for _ in range(3):
            batch = await worker.claim()
            await queue.fail(batch.lease, leader, CRASH)
        record = await queue.get(follower)
        assert (record.state, record.error) == (JobState.FAILED, CRASH)

    async def test_a_crowd_of_followers_ends_without_blocking_redis(self, queue: Queue, worker: Worker) -> None:
        leader, *followers = await put(queue, *(self.same(subject=f"u{n}") for n in range(200)))
        batch = await worker.claim()
        await queue.finish(batch.lease, leader, new_result())
        await queue.reap()
        assert {(await queue.get(job)).state for job in followers} == {JobState.SUCCEEDED}
        assert await queue.reap() == 0

    async def test_a_promoted_follower_comes_after_what_its_user_has_asked_for_since(self, queue: Queue) -> None:
        leader, follower = await put(queue, self.same(subject="lead"), self.same(subject="greedy"))
        await put(queue, *(new_job(subject="greedy", lane=Lane.ANONYMOUS) for _ in range(3)))
        await queue.cancel(leader)
        await put(queue, *(new_job(subject="modest", lane=Lane.ANONYMOUS) for _ in range(3)))
        (late,) = await put(queue, new_job(subject="greedy", lane=Lane.ANONYMOUS))
        assert (await queue.position(follower), await queue.position(late)) == (6, 7)

    async def test_a_promoted_follower_waits_no_longer_than_the_next_would(self, queue: Queue) -> None:
        leader, follower, _ = await put(
            queue, self.same(subject="lead"), self.same(subject="greedy"), self.same(subject="modest")
        )
        await put(queue, *(new_job(subject="greedy", lane=Lane.ANONYMOUS) for _ in range(3)))
        await queue.cancel(leader)
        assert await queue.position(follower) == 0

    async def test_following_costs_nothing_of_the_line_where_it_lifts_nobody(self, queue: Queue) -> None:
        await put(queue, *(new_job(subject="x") for _ in range(5)), self.same(subject="lead", lane=Lane.ACCOUNT))
        for _ in range(5):
            await put(queue, self.same(Lane.ACCOUNT, "follower"))
        own = await queue.enqueue(new_job(subject="follower"))
        assert own.position == 2  # behind the first of x and the leader
