"""`modelpool queue`: people and scripts look into a real queue and act on it."""

import asyncio
import json
import threading
from collections.abc import Callable, Coroutine, Iterator
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import pytest
from click.testing import CliRunner, Result
from redis import Redis

from modelpool.documents import POOLS_KEY
from modelpool.jobs import JobError, JobRecord, JobState, Lane, NewJob
from modelpool.queue.check import QueueCheck, Report
from modelpool.queue.connection import connect
from modelpool.queue.listing import PAGE
from modelpool.queue.port import FailureKind, HotModel
from modelpool.queue.redis import RedisQueue
from modelpool.resources.pool import PoolRef
from modelpool_cli.main import modelpool
from modelpool_cli.queue.places import CONNECTIONS
from modelpool_local.exits import CommandFailed, Exit
from support import RedisProcess, bundled_redis, debian_redis, unused_port
from support.queues import POOL, new_job, new_result

T = TypeVar("T")
BROKEN = JobError(code="unusable_job", message="The [image] is broken.")


class Stage:
    """A pool in Redis, and the command line in front of it."""

    def __init__(self, url: str) -> None:
        self.url = url
        with Redis.from_url(url) as client:
            client.hset(POOLS_KEY, POOL.short_id, str(POOL))

    def act(self, what: Callable[[RedisQueue], Coroutine[Any, Any, T]], pool: PoolRef = POOL) -> T:
        async def run() -> T:
            client = await connect(self.url)
            try:
                return await what(RedisQueue(pool, client))
            finally:
                await client.aclose()

        return asyncio.run(run())

    def put(self, *jobs: NewJob) -> None:
        async def enqueue(queue: RedisQueue) -> None:
            for job in jobs:
                await queue.enqueue(job)

        self.act(enqueue)

    def claim(self, model: str, jobs: int = 1) -> None:
        self.act(lambda queue: queue.claim("w1", "studio-0", [HotModel(model, jobs)]))

    def fail(self, job: str, *, times: int = 1, kind: FailureKind = FailureKind.FINAL) -> None:
        async def fail(queue: RedisQueue) -> None:
            for _ in range(times):
                batch = await queue.claim("w1", "studio-0", [HotModel("flux", 1)])
                assert batch is not None
                assert await queue.fail(batch.lease, job, BROKEN, kind)

        self.act(fail)

    def record(self, job: str) -> JobRecord:
        return self.act(lambda queue: queue.get(job))

    def refunds(self) -> list[str]:
        with Redis.from_url(self.url, decode_responses=True) as client:
            return [fields["charge"] for _, fields in client.xrange(POOL.key("refunds"))]

    def run(self, *arguments: str) -> Result:
        env = {"MODELPOOL_REDIS_URL": self.url, "COLUMNS": "160"}
        return CliRunner().invoke(modelpool, ["queue", *arguments], env=env, catch_exceptions=True)

    def json(self, *arguments: str) -> Any:
        result = self.run(*arguments, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    def failure(self, *arguments: str) -> CommandFailed:
        error = self.run(*arguments).exception
        assert isinstance(error, CommandFailed), error
        assert "\n" not in error.message
        return error


def job_of_pool(*args: Any, **fields: Any) -> NewJob:
    job = new_job(*args, **fields)
    return job.model_copy(update={"id": f"{POOL.short_id}-{job.id}"})


@pytest.fixture
def stage(redis_url_any: str) -> Stage:
    return Stage(redis_url_any)


class TestList:
    def test_jobs_are_counted_by_model_lane_and_state(self, stage: Stage) -> None:
        same = "d" * 64
        stage.put(job_of_pool(digest=same, work=2.5), job_of_pool(digest=same), job_of_pool("sdxl", Lane.PAID))
        stage.put(job_of_pool(work=0.5), job_of_pool(lane=Lane.ANONYMOUS))
        stage.claim("sdxl")
        shown = stage.json("ls")
        counts = {(g["model"], g["lane"], g["state"]): (g["jobs"], g["work"]) for g in shown["groups"]}
        assert counts == {
            ("flux", "account", "queued"): (2, 3.0),
            ("flux", "account", "following"): (1, 1.0),
            ("flux", "anonymous", "queued"): (1, 1.0),
            ("sdxl", "paid", "running"): (1, 1.0),
        }
        assert shown["complete"]
        table = stage.run("ls").stdout
        assert "following" in table
        assert "on studio-0" in table

    def test_what_ended_well_is_shown_only_when_asked_for(self, stage: Stage) -> None:
        stage.put(job := job_of_pool())
        stage.act(lambda queue: queue.cancel(job.id))
        assert stage.json("ls")["jobs"] == []
        assert "No such job." in stage.run("ls").stdout
        for asked in (["--all"], ["--in", "cancelled"]):
            assert [row["id"] for row in stage.json("ls", *asked)["jobs"]] == [job.id]

    @pytest.mark.parametrize("filters", [["--model", "sdxl"], ["--lane", "paid"], ["--subject", "ann"]])
    def test_filters_leave_out_the_rest(self, stage: Stage, filters: list[str]) -> None:
        stage.put(job_of_pool(), wanted := job_of_pool("sdxl", Lane.PAID, subject="ann"))
        assert [row["id"] for row in stage.json("ls", *filters)["jobs"]] == [wanted.id]

    def test_the_oldest_come_first_up_to_a_limit(self, stage: Stage) -> None:
        jobs = [job_of_pool() for _ in range(5)]
        for n, job in enumerate(jobs):
            stage.put(job)
            with Redis.from_url(stage.url) as client:  # not all in one millisecond
                client.hset(POOL.key("job", job.id), "enqueued", 1_700_000_000_000 + n)
        shown = stage.json("ls", "--limit", "3")
        assert [row["id"] for row in shown["jobs"]] == [job.id for job in jobs[:3]]
        assert sum(group["jobs"] for group in shown["groups"]) == 5

    def test_a_scan_that_stops_early_says_so(self, stage: Stage) -> None:
        stage.put(*[job_of_pool() for _ in range(3 * PAGE)])
        shown = stage.json("ls", "--scan", "2")
        assert shown["read"] < 3 * PAGE
        assert not shown["complete"]
        assert "raise --scan" in stage.run("ls", "--scan", "2").stdout

    @pytest.mark.parametrize("jobs", [3, 3 * PAGE])
    def test_a_scan_that_ends_with_the_last_record_is_complete(self, stage: Stage, jobs: int) -> None:
        stage.put(*[job_of_pool() for _ in range(jobs)])
        shown = stage.json("ls", "--scan", str(jobs))
        assert (shown["read"], shown["complete"]) == (jobs, True)
        assert "raise --scan" not in stage.run("ls", "--scan", str(jobs)).stdout


class TestShow:
    def test_a_failed_job_tells_how_each_attempt_failed(self, stage: Stage) -> None:
        stage.put(job := job_of_pool())
        stage.fail(job.id, times=3, kind=FailureKind.RETRY)
        shown = stage.json("show", job.id)
        assert (shown["state"], shown["attempts"], shown["error"]["code"]) == ("failed", 3, "unusable_job")
        assert [failure["slot"] for failure in shown["failures"]] == ["studio-0", "studio-0"]
        table = stage.run("show", job.id).stdout
        assert table.count("unusable_job: The [image] is broken.") == 3

    def test_a_waiting_job_has_its_place_in_the_line(self, stage: Stage) -> None:
        stage.put(job_of_pool(), job := job_of_pool())
        assert stage.json("show", job.id)["position"] == 1
        assert "1 job ahead" in stage.run("show", job.id).stdout

    def test_an_unknown_id_and_one_of_another_pool_are_told_apart(self, stage: Stage) -> None:
        unknown = stage.failure("show", f"{POOL.short_id}-nothing")
        assert (unknown.code, "There is no job" in unknown.message) == (Exit.REFUSED, True)
        elsewhere = stage.failure("show", "otherpoo-1")
        assert elsewhere.code is Exit.REFUSED
        assert f"ids of default/studio ({POOL.short_id}-…) begin so" in elsewhere.message


class TestCancel:
    def test_waiting_jobs_are_refunded_and_running_ones_are_not(self, stage: Stage) -> None:
        stage.put(running := job_of_pool(), waiting := job_of_pool())
        stage.claim("flux")
        result = stage.run("cancel", running.id, waiting.id)
        assert result.stdout.splitlines() == [f"{running.id} cancelled", f"{waiting.id} cancelled, refunded"]
        assert stage.refunds() == [waiting.charge_id]

    def test_what_cannot_be_cancelled_does_not_keep_the_others(self, stage: Stage) -> None:
        stage.put(ended := job_of_pool(), job := job_of_pool())
        stage.fail(ended.id)
        result = stage.run("cancel", ended.id, f"{POOL.short_id}-nothing", job.id)
        assert result.exit_code == Exit.REFUSED
        assert result.stdout == f"{job.id} cancelled, refunded\n"
        assert [line.startswith("modelpool: ") for line in result.stderr.splitlines()] == [True, True]

    def test_a_filter_cancels_what_waits_and_leaves_what_runs(self, stage: Stage) -> None:
        same = "d" * 64
        jobs = [job_of_pool(subject="ann", digest=same) for _ in range(3)]
        stage.put(running := job_of_pool(subject="ann"))
        stage.claim("flux")
        stage.put(*jobs, other := job_of_pool(subject="bob"))
        answer = stage.json("cancel", "--subject", "ann", "--yes")
        assert (answer["cancelled"], answer["refunded"]) == (3, 3)
        assert sorted(stage.refunds()) == sorted(job.charge_id or "" for job in jobs)
        assert stage.record(running.id).state is JobState.RUNNING
        assert stage.record(other.id).state is JobState.QUEUED
        assert stage.json("cancel", "--subject", "ann", "--running", "--yes")["cancelled"] == 1

    def test_many_are_cancelled_only_when_somebody_agrees(self, stage: Stage) -> None:
        stage.put(job := job_of_pool())
        refused = stage.failure("cancel", "--model", "flux")
        assert refused.code is Exit.USAGE
        assert refused.message == "Cancel 1 job (1 of default/studio flux)? Nobody is here to ask: give --yes"
        assert stage.record(job.id).state is JobState.QUEUED

    @pytest.mark.parametrize("arguments", [[], ["ID", "--model", "m"], ["ID", "--running"]])
    def test_ids_and_filters_do_not_mix(self, stage: Stage, arguments: list[str]) -> None:
        assert stage.run("cancel", *arguments).exit_code == Exit.USAGE


class TestDrain:
    def test_all_that_waits_is_cancelled_and_refunded(self, stage: Stage) -> None:
        stage.put(running := job_of_pool())
        stage.claim("flux")
        stage.put(job_of_pool(), job_of_pool("sdxl"), job_of_pool(lane=Lane.PAID))
        assert stage.run("drain", "--yes").stdout == "Cancelled 3 jobs, refunded 3.\n"
        assert stage.run("drain", "--yes").stdout == "Nothing to cancel.\n"
        assert stage.record(running.id).state is JobState.RUNNING

    def test_of_one_lane_only_if_so_asked(self, stage: Stage) -> None:
        stage.put(gone := job_of_pool(lane=Lane.ANONYMOUS), stays := job_of_pool())
        assert stage.json("drain", "--lane", "anonymous", "--yes")["jobs"] == [gone.id]
        assert stage.record(stays.id).state is JobState.QUEUED


class TestWorkersThatClaimMeanwhile:
    """Between the look at what waits and the cancelling."""

    @pytest.fixture
    def claimed(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> NewJob:
        """A job that is claimed while the question is being answered."""
        stage.put(job := job_of_pool(lane=Lane.PAID), job_of_pool())

        def claim(_: Any) -> None:
            thread = threading.Thread(target=stage.claim, args=("flux",))
            thread.start()
            thread.join()

        monkeypatch.setattr("modelpool_cli.queue.acting._confirm", claim)
        return job

    @pytest.mark.parametrize("command", [["drain"], ["cancel", "--model", "flux"]])
    def test_what_runs_by_then_goes_on_and_is_told(self, stage: Stage, claimed: NewJob, command: list[str]) -> None:
        told = stage.run(*command).stdout
        assert told == "Cancelled 1 job, refunded 1; 1 began to run meanwhile and goes on.\n"
        assert stage.record(claimed.id).state is JobState.RUNNING
        assert stage.json("drain")["running"] == 0

    def test_what_runs_by_then_is_cancelled_where_that_is_asked_for(self, stage: Stage, claimed: NewJob) -> None:
        answer = stage.json("cancel", "--model", "flux", "--running")
        assert (answer["cancelled"], answer["refunded"], answer["running"]) == (2, 1, 0)
        assert stage.record(claimed.id).state is JobState.CANCELLED


class TestRedisThatGoesAwayMidway:
    """What was done by then is told, and how much is left."""

    @pytest.fixture(params=[bundled_redis, debian_redis], ids=["redis6", "redis7"])
    def server(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RedisProcess]:
        with RedisProcess(request.param(), tmp_path) as server:
            yield server

    @pytest.fixture
    def stage(self, server: RedisProcess) -> Stage:
        return Stage(server.url)

    @pytest.fixture
    def goes_away_at(self, server: RedisProcess, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], None]:
        """Before the queue's verb is called for the nth time."""

        def arm(verb: str, call: int) -> None:
            calls, acts = count(1), getattr(RedisQueue, verb)

            async def act(*args: Any, **options: Any) -> Any:
                if next(calls) == call:
                    server.kill()
                return await acts(*args, **options)

            monkeypatch.setattr(RedisQueue, verb, act)

        return arm

    @staticmethod
    def ends_unreachable(result: Result) -> None:
        assert isinstance(result.exception, CommandFailed), result.exception
        assert result.exception.code is Exit.UNREACHABLE
        assert "Redis cannot be reached" in result.exception.message

    def test_of_ids(self, stage: Stage, goes_away_at: Callable[[str, int], None]) -> None:
        stage.put(*(jobs := [job_of_pool() for _ in range(4)]))
        goes_away_at("cancel", 3)
        result = stage.run("cancel", *(job.id for job in jobs))
        self.ends_unreachable(result)
        told = [f"{job.id} cancelled, refunded" for job in jobs[:2]]
        assert result.stdout.splitlines() == [*told, "Not done for 2 jobs."]

    def test_of_ids_for_programs(self, stage: Stage, goes_away_at: Callable[[str, int], None]) -> None:
        stage.put(*(jobs := [job_of_pool() for _ in range(4)]))
        goes_away_at("cancel", 3)
        result = stage.run("cancel", *(job.id for job in jobs), "--json")
        self.ends_unreachable(result)
        rows = json.loads(result.stdout)
        assert [row["id"] for row in rows] == [job.id for job in jobs]
        assert [row.get("error", {}).get("code") for row in rows] == [None, None, *["queue_unavailable"] * 2]

    def test_of_all_that_wait(self, stage: Stage, goes_away_at: Callable[[str, int], None]) -> None:
        stage.put(*[job_of_pool() for _ in range(CONNECTIONS + 4)])
        goes_away_at("cancel", CONNECTIONS + 1)
        result = stage.run("drain", "--yes")
        self.ends_unreachable(result)
        assert result.stdout == f"Cancelled {CONNECTIONS} jobs, refunded {CONNECTIONS}; not done for 4 jobs.\n"

    def test_of_all_that_wait_for_programs(self, stage: Stage, goes_away_at: Callable[[str, int], None]) -> None:
        stage.put(*[job_of_pool() for _ in range(CONNECTIONS + 4)])
        goes_away_at("cancel", CONNECTIONS + 1)
        result = stage.run("drain", "--yes", "--json")
        self.ends_unreachable(result)
        answer = json.loads(result.stdout)
        assert (answer["found"], answer["cancelled"], answer["remaining"]) == (CONNECTIONS + 4, CONNECTIONS, 4)
        assert len(answer["jobs"]) == CONNECTIONS

    def test_of_retries(self, stage: Stage, goes_away_at: Callable[[str, int], None]) -> None:
        jobs = [job_of_pool() for _ in range(3)]
        for job in jobs:
            stage.put(job)
            stage.fail(job.id)
        goes_away_at("enqueue", 2)
        result = stage.run("retry", *(job.id for job in jobs))
        self.ends_unreachable(result)
        retried, left = result.stdout.splitlines()
        assert retried.startswith(f"{POOL.short_id}-")
        assert (retried.endswith(" queued"), left) == (True, "Not done for 2 jobs.")

    @pytest.mark.parametrize("form", [(), ("--json",)], ids=["for people", "for programs"])
    def test_of_pools(
        self, stage: Stage, server: RedisProcess, form: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What is mended is not found again."""
        stage.put(job_of_pool())
        other = PoolRef("team", "other")
        with Redis.from_url(stage.url) as client:
            client.hset(POOLS_KEY, other.short_id, str(other))
            client.delete(POOL.key("line", "free", "flux"))
        checks, calls = QueueCheck.check, count(1)

        async def check(*args: Any, **options: Any) -> Report:
            if next(calls) == 2:
                server.kill()
            return await checks(*args, **options)

        monkeypatch.setattr(QueueCheck, "check", check)
        result = stage.run("check", "--repair", *form)
        self.ends_unreachable(result)
        if form:
            (report,) = json.loads(result.stdout)
            assert (report["pool"], [finding["mended"] for finding in report["findings"]][:1]) == (str(POOL), [True])
        else:
            assert "put in its place" in result.stdout


class TestRetry:
    def test_a_failed_job_comes_again_as_a_new_one_that_charges_nobody(self, stage: Stage) -> None:
        stage.put(dead := job_of_pool(lane=Lane.PAID, subject="ann", work=2.5, price=5))
        stage.fail(dead.id)
        assert stage.refunds() == [dead.charge_id]
        (answer,) = stage.json("retry", dead.id)
        record = stage.record(answer["id"])
        assert (record.state, record.request, record.subject) == (JobState.QUEUED, dead.request, "ann")
        assert (record.lane, record.work, record.price, record.charge_id) == (Lane.PAID, 2.5, 0, None)
        assert stage.record(dead.id).state is JobState.FAILED
        assert stage.json("cancel", answer["id"]) == [{"id": answer["id"], "state": "cancelled", "refunded": False}]
        assert stage.refunds() == [dead.charge_id]

    def test_the_same_job_retried_twice_is_one_new_job(self, stage: Stage) -> None:
        stage.put(dead := job_of_pool())
        stage.fail(dead.id)
        first, second = (stage.run("retry", dead.id).stdout for _ in range(2))
        assert second == first.replace("queued\n", "queued, retried before\n")

    def test_a_job_that_did_not_fail_is_refused(self, stage: Stage) -> None:
        stage.put(job := job_of_pool())
        result = stage.run("retry", job.id)
        assert result.exit_code == Exit.REFUSED
        assert result.stderr == f"modelpool: job {job.id} is queued: only failed and expired jobs are retried\n"


class TestCheck:
    def test_a_healthy_queue_is_all_well(self, stage: Stage) -> None:
        stage.put(job_of_pool(), job_of_pool("sdxl"))
        shown = stage.run("check")
        assert shown.exit_code == Exit.OK
        assert "default/studio: looked at 2 records, " in shown.stdout
        assert shown.stdout.endswith(": all well.\n")
        (report,) = stage.json("check")
        assert (report["findings"], report["countersChecked"]) == ([], True)

    def test_what_is_found_is_told_then_mended_then_gone(self, stage: Stage) -> None:
        stage.put(job := job_of_pool())
        with Redis.from_url(stage.url) as client:
            client.delete(POOL.key("line", "free", "flux"))
            client.set(POOL.key("stranger"), "")
        told = stage.run("check")
        assert told.exit_code == Exit.FAILED
        assert job.id in told.stdout
        assert "Nothing was changed" in told.stdout
        mended = stage.run("check", "--repair")
        assert mended.exit_code == Exit.FAILED
        assert "put in its place" in mended.stdout
        assert "not the queue's" in mended.stdout
        left = json.loads(stage.run("check", "--json").stdout)[0]["findings"]
        assert left == [{"problem": "no life", "what": "stranger", "mended": False}]

    def test_half_a_record_breaks_no_command(self, stage: Stage) -> None:
        stage.put(job := job_of_pool())
        half = f"{POOL.short_id}-half"
        with Redis.from_url(stage.url) as client:
            client.hset(POOL.key("job", half), "state", "queued")
        assert [row["id"] for row in stage.json("ls")["jobs"]] == [job.id]
        error = stage.failure("show", half)
        assert (error.code, "`modelpool queue check --repair`" in error.message) == (Exit.REFUSED, True)
        assert stage.json("drain", "--yes")["jobs"] == [job.id]


class TestWhereTheQueueIs:
    def test_redis_away_is_one_line(self, stage: Stage) -> None:
        error = stage.failure("ls", "--redis-url", f"redis://127.0.0.1:{unused_port()}/0")
        assert error.code is Exit.UNREACHABLE
        assert "Redis cannot be reached" in error.message

    def test_what_is_no_redis_url_is_a_wrong_command_line(self, stage: Stage) -> None:
        assert stage.failure("ls", "--redis-url", "nonsense").code is Exit.USAGE

    def test_a_pool_that_is_not_there_is_named_with_those_that_are(self, stage: Stage) -> None:
        error = stage.failure("ls", "--pool", "team/other")
        assert (error.code, error.message) == (
            Exit.REFUSED,
            "there is no pool team/other in this Redis; known: default/studio",
        )

    def test_a_redis_without_pools_says_so(self, stage: Stage) -> None:
        with Redis.from_url(stage.url) as client:
            client.flushall()
        assert "no pool is known in this Redis" in stage.failure("ls").message

    def test_a_pool_that_is_offered_no_more_can_be_named(self, stage: Stage) -> None:
        stage.put(job := job_of_pool())
        with Redis.from_url(stage.url) as client:
            client.delete(POOLS_KEY)
        assert [row["id"] for row in stage.json("ls", "--pool", "studio")["jobs"]] == [job.id]

    def test_without_a_url_it_is_that_of_the_running_pool(self, stage: Stage, tmp_path: Any) -> None:
        (tmp_path / "up.json").write_text(json.dumps({"url": "", "redisUrl": stage.url}))
        stage.put(job := job_of_pool())
        result = CliRunner().invoke(modelpool, ["queue", "ls", "--json", "--state", str(tmp_path)])
        assert [row["id"] for row in json.loads(result.stdout)["jobs"]] == [job.id]


def test_a_finished_job_shows_where_its_result_lies(stage: Stage) -> None:
    stage.put(job := job_of_pool())

    async def finish(queue: RedisQueue) -> None:
        batch = await queue.claim("w1", "studio-0", [HotModel("flux", 1)])
        assert batch is not None
        await queue.finish(batch.lease, job.id, new_result(key="results/x.png"))

    stage.act(finish)
    assert "results/x.png" in stage.run("show", job.id).stdout
