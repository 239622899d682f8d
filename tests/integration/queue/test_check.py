"""The check finds each way in which a queue can be damaged, mends it, and finds nothing where nothing is wrong."""

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from modelpool.jobs import FINAL_STATES, JobError, JobState, Lane, NewJob
from modelpool.queue import check as check_module
from modelpool.queue.check import MEANINGS, Finding, Problem, QueueCheck
from modelpool.queue.port import HotModel
from modelpool.queue.redis import RedisQueue
from modelpool.queue.rules import line_of
from modelpool.queue.scripts import FLIGHT_DIGITS, TICKET_DIGITS
from support import wait_until
from support.listening import Listener
from support.queues import POOL, Clock, Worker, new_job, new_result

CRASH = JobError(code="x", message="y")
SAME = "5a" * 32


class Stage:
    """A busy queue: jobs of every state, and hands to damage it with."""

    def __init__(self, client: Redis, clock: Clock) -> None:
        self.client, self.clock = client, clock
        self.queue = RedisQueue(POOL, client, now=clock)
        self.checker = QueueCheck(POOL, client, now=clock)
        self.jobs: dict[str, NewJob] = {}

    async def put(self, name: str, *args: Any, **fields: Any) -> str:
        self.jobs[name] = new_job(*args, id=name, **fields)
        await self.queue.enqueue(self.jobs[name])
        return name

    async def fill(self) -> None:
        await self.queue.claim("w1", "slot-w1", [], mixes=True)  # from now on jobs enter the sets of their shapes, too
        for n in range(2):
            await self.put(f"done{n}", "old", idempotency_key=f"done{n}", charge_id=None)
        batch = await Worker(self.queue, "old").claim()
        await self.queue.finish(batch.lease, "done0", new_result())
        await self.queue.cancel("done1")
        await self.put("running", "busy", subject="ann")
        await self.put("alone", "flux", subject="bob")
        await Worker(self.queue, "busy").claim()
        alone = await Worker(self.queue, "flux").claim()
        await self.queue.fail(alone.lease, "alone", CRASH)
        await self.put("waiting", subject="ann", idempotency_key="waiting", work=2.5)
        await self.put("later", subject="ann", lane=Lane.ACCOUNT)
        await self.put("paid", "sdxl", Lane.PAID)
        await self.put("leader", "sdxl", digest=SAME)
        await self.put("follower", "sdxl", digest=SAME, subject="bob")
        await self.put("third", "sdxl", digest=SAME, subject="cid")
        await self.queue.shed("flux")

    def key(self, *parts: str) -> str:
        return POOL.key(*parts)

    async def field(self, job: str, name: str) -> str:
        return str(await self.client.hget(self.key("job", job), name))

    def flight(self, digest: str) -> tuple[str, str]:
        """The hash that the flight of a digest is in, and its name there."""
        return self.key("flight", digest[:FLIGHT_DIGITS]), digest[FLIGHT_DIGITS:32]

    async def place(self, job: str, kind: str) -> str:
        line = line_of(self.jobs[job].lane)
        rest = {"line": "model", "batch": "key", "shape": "shape"}[kind]
        return self.key(kind, line, await self.field(job, rest))

    async def member(self, job: str) -> str:
        return await self.field(job, "ticket") + job

    async def found(self, *, repair: bool = False) -> list[Finding]:
        return (await self.checker.check(repair=repair)).findings

    async def mended(self, *expected: tuple[Problem, str]) -> None:
        """The check finds just this, repair mends it, and then there is nothing to find, and every job ends."""
        wanted = sorted(expected)
        assert [(f.problem, f.what, f.mended) for f in await self.found()] == [(*w, False) for w in wanted]
        assert [(f.problem, f.what, f.mended) for f in await self.found(repair=True) if f.problem != "counter"] == [
            (*w, True) for w in wanted if w[0] != "counter"
        ]
        assert await self.found() == []
        await self.everything_ends()

    async def everything_ends(self) -> None:
        self.clock.pass_seconds(40)
        hot = [HotModel(model, 4) for model in ("flux", "sdxl", "busy", "old")]
        for _ in range(20):
            await self.queue.reap()
            if (batch := await self.queue.claim("w9", "s9", hot)) is None:
                break
            await self.queue.finish_all(batch.lease, {job.id: new_result() for job in batch.jobs})
        for name in self.jobs:
            if await self.client.exists(self.key("job", name)):
                assert (await self.queue.get(name)).state in FINAL_STATES, name
        depths = await self.queue.depths()
        assert {model: (depth.queued, depth.running) for model, depth in depths.items()} == dict.fromkeys(
            depths, (0, 0)
        )
        assert await self.found() == []


@pytest.fixture
async def stage(client: Redis, clock: Clock) -> Stage:
    stage = Stage(client, clock)
    await stage.fill()
    return stage


async def test_a_healthy_queue_gives_no_findings(stage: Stage) -> None:
    report = await stage.checker.check()
    assert report.findings == []
    assert (report.jobs, report.counted) == (10, True)
    assert report.entries > 10
    assert report.keys > 20
    await stage.everything_ends()


def test_every_problem_is_explained_and_has_a_cure() -> None:
    assert set(MEANINGS) == set(Problem)


class TestQueuedJobs:
    @pytest.mark.parametrize("kind", ["line", "batch", "shape"])
    async def test_missing_from_a_set(self, stage: Stage, kind: str) -> None:
        await stage.client.zrem(await stage.place("waiting", kind), await stage.member("waiting"))
        await stage.mended((Problem.NOT_IN_LINE, "waiting"))

    async def test_in_line_at_the_wrong_place(self, stage: Stage) -> None:
        await stage.client.zadd(await stage.place("later", "line"), {await stage.member("later"): -5})
        await stage.mended((Problem.NOT_IN_LINE, "later"))

    async def test_without_a_watched_deadline(self, stage: Stage) -> None:
        await stage.client.zrem(stage.key("due"), "waiting", "third")
        counters = [(Problem.COUNTER, "flux account"), (Problem.COUNTER, "flux work")]
        await stage.mended((Problem.NO_DEADLINE, "waiting"), (Problem.NO_DEADLINE, "third"), *counters)

    async def test_a_whole_line_and_the_deadlines_lost(self, stage: Stage) -> None:
        await stage.client.delete(stage.key("due"), await stage.place("waiting", "line"))
        found = {(f.problem, f.what) for f in await stage.found(repair=True)}
        assert {(Problem.NOT_IN_LINE, job) for job in ("waiting", "later", "alone")} <= found
        assert {(Problem.NO_DEADLINE, job) for job in ("waiting", "leader", "follower")} <= found
        assert (Problem.NO_LEASE, "running") in found
        assert await stage.found() == []
        assert [job.id for job in (await Worker(stage.queue, "flux").claim()).jobs] == ["alone"]
        await stage.everything_ends()

    async def test_without_its_request_it_is_refunded_and_removed(self, stage: Stage) -> None:
        for name in ("waiting", "done0"):
            await stage.client.hdel(stage.key("job", name), "body")
        found = {(f.problem, f.what) for f in await stage.found(repair=True)}
        assert {(Problem.RECORD_CUT, "waiting"), (Problem.RECORD_CUT, "done0")} <= found
        assert await stage.found() == []
        assert not await stage.client.exists(stage.key("job", "waiting"), stage.key("job", "done0"))
        ((_, refund),) = await stage.client.xrange(stage.key("refunds")) or []
        assert refund == {"charge": "charge-waiting", "price": "1", "day": str(stage.clock.now // 86_400_000)}

    async def test_whose_user_would_start_over(self, stage: Stage) -> None:
        await stage.client.delete(stage.key("debt", "free", "ann"))
        await stage.found(repair=True)
        await stage.put("next", subject="ann")
        assert float(await stage.field("next", "tag")) > float(await stage.field("later", "tag"))
        await stage.everything_ends()

    async def test_newer_than_the_count_of_tickets(self, stage: Stage) -> None:
        newest = await stage.client.hget(stage.key("tally"), "ticket")
        await stage.client.hset(stage.key("tally"), "ticket", int(newest or 0) - 1)
        await stage.mended((Problem.TICKETS_BEHIND, "third"))


class TestRunningJobs:
    async def test_without_an_entry_nobody_would_run_it_again(self, stage: Stage) -> None:
        await stage.client.zrem(stage.key("due"), "running")
        await stage.mended((Problem.NO_LEASE, "running"), (Problem.COUNTER, "busy running"))

    async def test_without_a_lease_it_goes_back_in_line(self, stage: Stage) -> None:
        await stage.client.hset(stage.key("job", "running"), "lease", "")
        await stage.mended((Problem.NO_LEASE, "running"))
        assert (await stage.queue.get("running")).attempts == 0

    async def test_under_a_lease_from_before_the_clock_was_set_back(self, stage: Stage) -> None:
        stage.clock.pass_seconds(-3000)
        await stage.mended((Problem.ENDLESS_LEASE, "running"))

    async def test_a_living_worker_keeps_what_was_mended(self, stage: Stage) -> None:
        lease = await stage.field("running", "lease")
        await stage.client.zrem(stage.key("due"), "running")
        await stage.found(repair=True)
        assert (await stage.queue.renew(lease, ["running"])).held == {"running"}
        assert await stage.queue.finish(lease, "running", new_result())
        assert await stage.found() == []


class TestFollowers:
    async def test_whose_leader_has_gone_get_a_new_one(self, stage: Stage) -> None:
        await stage.client.delete(stage.key("job", "leader"))
        found = {(f.problem, f.what) for f in await stage.found(repair=True)}
        assert {(Problem.LEADER_GONE, "leader"), (Problem.ENTRY_OF_NOBODY, "leader")} <= found
        assert await stage.found() == []
        assert (await stage.queue.get("third")).state is JobState.QUEUED
        assert (await stage.queue.get("follower")).leader == "third"
        await stage.everything_ends()

    async def test_whose_leader_has_ended_end_alike(self, stage: Stage) -> None:
        await stage.client.hset(
            stage.key("job", "leader"),
            mapping={"state": "succeeded", "finished": "1", "result": new_result().to_json()},
        )
        for kind in ("line", "batch", "shape"):
            await stage.client.zrem(await stage.place("leader", kind), await stage.member("leader"))
        await stage.client.zrem(stage.key("due"), "leader")
        found = {(f.problem, f.what) for f in await stage.found(repair=True)}
        assert (Problem.LEADER_GONE, "leader") in found
        await stage.queue.reap()
        for job in ("follower", "third"):
            assert (await stage.queue.get(job)).result == new_result()
        assert await stage.found() == []

    async def test_whose_leader_is_not_known_as_one(self, stage: Stage) -> None:
        await stage.client.hdel(*stage.flight(SAME))
        await stage.mended((Problem.LEADER_GONE, "leader"))

    async def test_whose_place_another_leads_move_there(self, stage: Stage) -> None:
        await stage.client.hdel(*stage.flight(SAME))
        await stage.put("other", "sdxl", digest=SAME)
        await stage.mended((Problem.LEADER_GONE, "leader"))
        assert (await stage.queue.get("third")).state is JobState.SUCCEEDED

    async def test_that_stand_nowhere_follow_their_leader_again(self, stage: Stage) -> None:
        await stage.client.zrem(stage.key("followers", "free", "leader"), await stage.member("third"))
        await stage.mended((Problem.FOLLOWS_NOBODY, "third"))

    async def test_that_stand_nowhere_and_have_no_leader_wait_themselves(self, stage: Stage) -> None:
        await stage.queue.cancel("follower")
        await stage.client.delete(stage.key("followers", "free", "leader"))
        await stage.client.hdel(*stage.flight(SAME))
        await stage.mended((Problem.FOLLOWS_NOBODY, "third"))

    async def test_of_a_leader_that_is_being_settled_are_no_finding(self, stage: Stage) -> None:
        crowd = [await stage.put(f"crowd{n}", "sdxl", digest=SAME) for n in range(150)]
        batch = await Worker(stage.queue, "sdxl").claim()
        assert await stage.queue.finish(batch.lease, "leader", new_result())
        assert {(await stage.queue.get(job)).state for job in crowd} == {JobState.FOLLOWING, JobState.SUCCEEDED}
        assert await stage.found() == []
        assert await stage.found(repair=True) == []
        await stage.everything_ends()

    async def test_a_large_crowd_moves_to_its_leader(self, stage: Stage) -> None:
        for n in range(150):
            await stage.put(f"crowd{n}", "sdxl", digest=SAME)
        await stage.client.hdel(*stage.flight(SAME))
        await stage.put("other", "sdxl", digest=SAME)
        await stage.mended((Problem.LEADER_GONE, "leader"))


class TestEntries:
    @pytest.mark.parametrize("kind", ["line", "batch", "shape"])
    async def test_without_a_record(self, stage: Stage, kind: str) -> None:
        await stage.client.zadd(await stage.place("waiting", kind), {"0" * TICKET_DIGITS + "ghost": 3})
        await stage.mended((Problem.ENTRY_OF_NOBODY, "ghost"))

    async def test_of_running_and_finished_jobs(self, stage: Stage) -> None:
        place = await stage.place("running", "line")
        await stage.client.zadd(place, {await stage.member("running"): 0})
        await stage.client.expire(place, 60)
        await stage.client.zadd(stage.key("due"), {"done0": 1, "ghost": 1})
        problems = [(Problem.ENTRY_ASTRAY, "running"), (Problem.ENTRY_ASTRAY, "done0")]
        await stage.mended(*problems, (Problem.ENTRY_OF_NOBODY, "ghost"))


class TestKeys:
    async def test_that_lead_to_jobs_that_are_not_there(self, stage: Stage) -> None:
        for digest, job in {"0" * 32: "ghost", "1" * 32: "done0"}.items():
            flights, name = stage.flight(digest)
            await stage.client.hset(flights, name, job)
            await stage.client.expire(flights, 60)
        await stage.client.set(stage.key("idempotency", "ff"), "ghost f", ex=60)
        await stage.mended(
            (Problem.FLIGHT_TO_NOWHERE, "flight:" + "0" * 32),
            (Problem.FLIGHT_TO_NOWHERE, "flight:" + "1" * 32),
            (Problem.KEY_TO_NOWHERE, "idempotency:ff"),
        )

    async def test_without_a_life_get_one(self, stage: Stage) -> None:
        names = ["job:waiting", "due", f"flight:{SAME[:3]}", "tally", "debt:free:ann", "line:free:flux"]
        for name in names:
            await stage.client.persist(stage.key(name))
        await stage.mended(*[(Problem.NO_LIFE, name) for name in names])

    async def test_of_others_are_told_and_left_alone(self, stage: Stage) -> None:
        await stage.client.set(stage.key("someone"), "else")
        for kept in ("catalog", "epoch", "status", "slot:studio-0:assignment"):
            await stage.client.set(stage.key(kept), "x")
        for repair in (False, True):
            assert await stage.found(repair=repair) == [Finding(Problem.NO_LIFE, "someone", mended=False)]
        assert await stage.client.ttl(stage.key("someone")) == -1

    async def test_half_a_record_is_removed(self, stage: Stage) -> None:
        await stage.client.hset(stage.key("job", "half"), "state", "queued")
        await stage.client.expire(stage.key("job", "half"), 60)
        await stage.mended((Problem.RECORD_CUT, "half"))


class TestCounters:
    async def test_that_disagree_are_counted_anew(self, stage: Stage) -> None:
        before = await stage.queue.depths()
        counters = {
            "flux account": 9,
            "flux work": 1,
            "busy running": 0,
            "sdxl paid": -3,
            "ghost anonymous": 2,
        }
        await stage.client.hset(stage.key("tally"), items=[part for pair in counters.items() for part in pair])
        assert {f.what for f in await stage.found()} == counters.keys()
        await stage.found(repair=True)
        assert await stage.found() == []
        assert {model: depth for model, depth in (await stage.queue.depths()).items() if model != "ghost"} == before
        await stage.everything_ends()

    async def test_lost_altogether_come_back(self, stage: Stage) -> None:
        before = await stage.queue.depths()
        await stage.client.delete(stage.key("tally"))
        await stage.found(repair=True)
        assert await stage.found() == []
        after = await stage.queue.depths()
        assert after == {model: depth for model, depth in before.items() if depth.queued or depth.running}
        await stage.everything_ends()

    async def test_of_more_jobs_than_one_script_should_count_are_left_out(
        self, stage: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(check_module, "RECOUNT", 5)
        await stage.client.hset(stage.key("tally"), "flux account", 99)
        report = await stage.checker.check(repair=True)
        assert (report.findings, report.counted) == ([], False)


class TestVirtualTime:
    @pytest.mark.parametrize("lane", [Lane.ACCOUNT, Lane.PAID])
    async def test_lost_comes_back_and_a_newcomer_does_not_ask_for_much_ahead_of_a_regular(
        self, client: Redis, clock: Clock, lane: Lane
    ) -> None:
        stage = Stage(client, clock)
        worker = Worker(stage.queue, HotModel("flux", 1))
        regular = [await stage.put(f"regular{n}", "flux", lane, subject="regular", work=100) for n in range(20)]
        for job in regular[:15]:
            assert await worker.ids() == [job]
        await client.delete(stage.key("tally"))
        lost = (Problem.VIRTUAL_TIME_LOST, line_of(lane))
        assert lost in {(f.problem, f.what) for f in await stage.found()}
        assert (*lost, True) in {(f.problem, f.what, f.mended) for f in await stage.found(repair=True)}
        assert await stage.found() == []
        for n in range(50):
            await stage.put(f"fresh{n}", "flux", lane, subject="fresh", work=1)
        assert await stage.queue.position(regular[15]) == 0

    async def test_that_has_come_nowhere_because_the_first_cancelled_is_no_finding(
        self, client: Redis, clock: Clock
    ) -> None:
        stage = Stage(client, clock)
        for name in ("first", "second"):
            await stage.put(name)
        await stage.queue.cancel("first")
        assert await stage.found() == []


class TestWakingUp:
    """What a repair makes ready to run rings the workers, as an arrival does: one that is idle would sleep on."""

    async def heard(self, stage: Stage) -> list[str]:
        async with Listener(lambda ready: stage.queue.wakeups("workers", ready)) as workers:
            await stage.found(repair=True)
            await stage.queue.ring("workers", "the end")
            await wait_until(lambda: "the end" in workers.heard)
        return [model for model in workers.heard if model != "the end"]

    async def test_nothing_wrong_wakes_nobody(self, stage: Stage) -> None:
        assert await self.heard(stage) == []

    async def test_back_in_line(self, stage: Stage) -> None:
        await stage.client.zrem(await stage.place("waiting", "line"), await stage.member("waiting"))
        assert await self.heard(stage) == ["flux"]

    async def test_given_back_for_want_of_a_lease(self, stage: Stage) -> None:
        await stage.client.hset(stage.key("job", "running"), "lease", "")
        assert await self.heard(stage) == ["busy"]

    @pytest.mark.parametrize("damage", ["gone", "with holes"])
    async def test_who_takes_the_place_of_a_leader(self, stage: Stage, damage: str) -> None:
        if damage == "gone":
            await stage.client.delete(stage.key("job", "leader"))
        else:
            await stage.client.hdel(stage.key("job", "leader"), "model")
        assert await self.heard(stage) == ["sdxl"]

    async def test_who_followed_nobody_and_waits_now(self, stage: Stage) -> None:
        await stage.queue.cancel("follower")
        await stage.client.delete(stage.key("followers", "free", "leader"))
        await stage.client.hdel(*stage.flight(SAME))
        assert await self.heard(stage) == ["sdxl"]

    async def test_whom_a_follower_that_stood_nowhere_lifts(self, stage: Stage) -> None:
        await stage.put("lifting", "sdxl", Lane.PAID, digest=SAME)
        await stage.client.delete(stage.key("followers", "paid", "leader"))
        await stage.client.hset(stage.key("job", "lifting"), "tag", -1)
        assert await self.heard(stage) == ["sdxl"]

    async def test_whom_a_follower_that_moved_lifts(self, stage: Stage) -> None:
        await stage.put("lifting", "sdxl", Lane.PAID, digest=SAME)
        await stage.client.hdel(*stage.flight(SAME))
        await stage.put("other", "sdxl", digest=SAME)
        assert await self.heard(stage) == ["sdxl"]


async def test_while_traffic_flows_nothing_is_found_and_nothing_broken(client: Redis) -> None:
    queue = RedisQueue(POOL, client)
    checker = QueueCheck(POOL, client)
    flows = True
    sent: list[str] = []

    async def ask(subject: str) -> None:
        n = 0
        while flows:
            n += 1
            job = new_job(subject=subject, digest=f"{n % 7:032x}" * 2 if n % 2 else f"{subject}{n}".ljust(64, "0"))
            sent.append((await queue.enqueue(job)).record.id)
            if n % 5 == 0:
                await asyncio.gather(queue.cancel(job.id), return_exceptions=True)

    async def work(name: str) -> None:
        worker = Worker(queue, HotModel("flux", 4), name=name)
        while flows:
            if batch := await queue.claim(name, name, worker.hot):
                await queue.fail(batch.lease, batch.jobs[0].id, CRASH)
                await queue.release(batch.lease, [job.id for job in batch.jobs[1:2]])
                await queue.finish_all(batch.lease, {job.id: new_result() for job in batch.jobs[2:]})

    async def look() -> list[Finding]:
        nonlocal flows
        found: list[Finding] = []
        try:
            while len(sent) < 300:
                for repair in (False, True):
                    found += (await checker.check(repair=repair)).findings
        finally:
            flows = False
        return found

    found, *_ = await asyncio.gather(look(), ask("ann"), ask("bob"), work("w1"), work("w2"))
    assert found == []
    assert (await checker.check()).findings == []
