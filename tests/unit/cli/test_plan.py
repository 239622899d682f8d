"""`modelpool plan`: how a plan is shown, and which pool and which Redis it is about."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from modelpool.errors import InvalidInput, InvalidSpec
from modelpool.resources.load import parse_pool, read_pool
from modelpool.resources.spec import Policy
from modelpool_cli.main import modelpool
from modelpool_cli.plan import compared, pool_of
from modelpool_cli.planned import Outlook, changes, document, headline, held_rows, leaver_lines, miss_lines, slot_rows
from modelpool_local.exits import CommandFailed, Exit
from modelpool_operator.cluster.fake import FakeCluster
from modelpool_operator.cluster.port import MODEL_POOL, ApiNotFound, Kind, Listing
from modelpool_operator.planner import Snapshot, plan
from support.operator_stage import POOL_FILE
from support.pool_examples import a_pool
from support.snapshots import applied, converged, model, slot, snapshot

TIERS = {"secondary": Policy.ROTATE}


def outlook(before: Snapshot) -> Outlook:
    return Outlook("default/p", before, plan(before), demand="the queue's admission counters")


def a_miss(**motion: Any) -> Snapshot:
    """Two slots with a model each, and jobs for a third model."""
    return snapshot(
        [slot("s-0", "secondary", holds=["a"]), slot("s-1", "secondary", holds=["b"])],
        [
            model("a", "secondary", 14, rate=0.5),
            model("b", "secondary", 14, rate=0.1),
            model("c", "secondary", 14, **motion),
        ],
        TIERS,
    )


class TestShown:
    def test_a_demand_miss_is_shown_with_what_comes_what_goes_the_score_and_the_runner_up(self) -> None:
        seen = outlook(a_miss(queued=2))
        assert headline(seen) == "default/p: the planner would load 1 model and unload 1 model."
        assert miss_lines(seen) == ["Demand miss: 2 jobs wait for c, hot nowhere."]
        first, *rest = [row for row in slot_rows(seen) if row[:3] == ("s-1", "b", "c") or row[0] == ""]
        said = [first[3], *(row[3] for row in rest)]
        (load,) = [sentence for sentence in said if sentence.startswith("load c: 2 jobs wait for c")]
        (move,) = [move for move in seen.plan.moves if move.model == "c"]
        assert move.score is not None
        assert load.endswith(f"(score {move.score:.2f}, runner-up s-0)")
        assert any(sentence.startswith("unload b: ") for sentence in said)

    def test_a_plan_that_is_already_given_says_that_nothing_would_change_and_what_is_still_to_come(self) -> None:
        before = a_miss(queued=2)
        told = applied(before, plan(before))
        seen = outlook(told)
        assert not changes(seen)
        assert headline(seen) == "default/p: nothing would change."
        assert [row[3] for row in slot_rows(seen)][1:] == [
            "c: assigned before, not loaded yet",
            "b: told to go before, not gone yet",
        ]

    def test_a_pool_at_rest_has_nothing_to_say_of_its_slots(self) -> None:
        before = a_miss()
        seen = outlook(converged(before, plan(before)))
        assert slot_rows(seen) == [("s-0", "a", "a", ""), ("s-1", "b", "b", "")]
        assert not document(seen)["changes"]

    def test_a_slot_that_goes_is_a_change_even_where_no_model_moves(self) -> None:
        before = a_miss()
        rest = converged(before, plan(before))
        seen = Outlook("default/p", rest, plan(rest), demand="", leaving=("s-2",))
        assert headline(seen) == "default/p: no model would move, but slots would go."
        assert leaver_lines(seen) == ["s-2 would go: its worker finishes its batch and ends."]
        assert document(seen)["changes"]

    def test_a_new_warm_set_alone_is_a_change(self) -> None:
        seen = outlook(a_miss())
        assert not seen.plan.moves
        assert changes(seen)
        assert headline(seen) == "default/p: the planner would change only what is kept in host memory."
        assert slot_rows(seen)[0] == ("s-0", "a", "a", "in host memory: b, c")

    def test_a_slot_without_a_worker_says_so(self) -> None:
        before = snapshot(
            [slot("s-0", "secondary", alive=False), slot("s-1", "secondary", alive=False, starting=True)],
            [model("a", "secondary", 14, queued=1)],
            TIERS,
        )
        seen = outlook(before)
        assert [row[3] for row in slot_rows(seen) if "worker" in row[3]] == [
            "no running worker",
            "its worker is starting",
        ]
        assert held_rows(seen) == [("a", "", "NoWorker", "now", "no slot for a has a running worker")]

    def test_what_is_held_back_names_the_gate_and_whether_anybody_waits_for_it(self) -> None:
        seen = outlook(a_miss(rate=0.11))
        ((name, where, gate, wanted, why),) = held_rows(seen)
        assert (name, where, gate, wanted) == ("c", "", "Hysteresis", "ahead")
        assert why == "c is not 3 times as much in demand as b"
        assert document(seen)["held"] == [
            {"model": "c", "slot": None, "reason": "Hysteresis", "sentence": why, "demanded": False}
        ]

    def test_the_document_has_every_slot_and_its_moves(self) -> None:
        seen = outlook(a_miss(queued=1))
        shown = json.loads(json.dumps(document(seen)))
        assert shown["misses"] == ["c"]
        assert [(s["slot"], s["hot"], s["wouldBeHot"]) for s in shown["slots"]] == [
            ("s-0", ["a"], ["a"]),
            ("s-1", ["b"], ["c"]),
        ]
        moves = {(move["action"], move["model"]): move["reason"] for move in shown["slots"][1]["moves"]}
        assert moves == {("unload", "b"): "MakeRoom", ("load", "c"): "DemandMiss"}


def run(folder: Path, *arguments: str) -> Result:
    """The command in a folder of its own, with no Redis in its environment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MODELPOOL_REDIS_URL", raising=False)
        return CliRunner(env={"COLUMNS": "160"}).invoke(modelpool, ["plan", *arguments])


def failure(folder: Path, *arguments: str) -> CommandFailed:
    error = run(folder, *arguments).exception
    assert isinstance(error, CommandFailed), error
    assert "\n" not in error.message
    return error


class TestCommand:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        (tmp_path / "pool.yaml").write_text(POOL_FILE)
        return tmp_path

    def test_without_any_redis_it_plans_a_cold_start_and_says_so(self, folder: Path) -> None:
        result = run(folder, "-f", "pool.yaml")
        assert result.exit_code == 0, result.output
        assert "This is a cold start" in result.stdout
        shown = json.loads(run(folder, "-f", "pool.yaml", "--json").stdout)
        assert (shown["coldStart"], shown["at"], shown["pool"]) == (True, None, "default/studio")
        # Two slots load at a time, so that those of the Always tier go first.
        assert {s["slot"]: s["wouldBeHot"] for s in shown["slots"] if s["wouldBeHot"]} == {
            "studio-primary-0": ["flat"],
            "studio-primary-1": ["flat"],
        }

    def test_a_namespace_is_where_the_file_would_be_applied(self, folder: Path) -> None:
        shown = json.loads(run(folder, "-f", "pool.yaml", "-n", "gpu", "--json").stdout)
        assert shown["pool"] == "gpu/studio"

    def test_a_pool_that_cannot_work_is_refused_with_the_field_and_the_cure(self, folder: Path) -> None:
        (folder / "pool.yaml").write_text(POOL_FILE.replace("weights: 12Gi", "weights: 22Gi"))
        error = failure(folder, "-f", "pool.yaml")
        assert error.code is Exit.INVALID_SPEC
        assert "spec.tiers[0].models[0].weights" in error.message
        assert "lower" in error.message

    @pytest.mark.parametrize(
        ("arguments", "code", "words"),
        [
            ((), Exit.USAGE, "which pool? give -f FILE, or --context"),
            (("-f", "pool.yaml", "--pool", "studio"), Exit.USAGE, "the pool is that of -f"),
            (("-f", "pool.yaml", "--redis-url", "nonsense"), Exit.USAGE, "write redis://"),
            (("-f", "pool.yaml", "--redis-url", "redis://127.0.0.1:1/0"), Exit.UNREACHABLE, "cannot be reached"),
            (("-f", "pool.yaml", "--state", "elsewhere"), Exit.UNREACHABLE, "no `modelpool up` runs"),
            (("-f", "pool.yaml", "--context", "nowhere"), Exit.USAGE, "set KUBECONFIG"),
        ],
    )
    def test_what_cannot_be_done_is_one_sentence_and_an_exit_code(
        self, folder: Path, arguments: tuple[str, ...], code: Exit, words: str
    ) -> None:
        (folder / "kubeconfig").write_text("apiVersion: v1\nkind: Config\ncontexts: []\nclusters: []\nusers: []\n")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("KUBECONFIG", str(folder / "kubeconfig"))
            error = failure(folder, *arguments)
        assert error.code is code
        assert words in error.message


class TestCluster:
    async def cluster(self, *names: str) -> FakeCluster:
        made = FakeCluster()
        for name in names:
            namespace, _, called = name.rpartition("/")
            await made.create(MODEL_POOL, resource(called, namespace))
        return made

    async def test_the_only_pool_needs_no_name(self) -> None:
        pool = await pool_of(await self.cluster("gpu/studio"), None, None)
        assert (pool.metadata.namespace, pool.metadata.name) == ("gpu", "studio")

    @pytest.mark.parametrize("name", ["lab/studio", "second"])
    async def test_one_of_several_is_found_by_its_name(self, name: str) -> None:
        pool = await pool_of(await self.cluster("gpu/studio", "lab/studio", "lab/second"), None, name)
        assert f"{pool.metadata.namespace}/{pool.metadata.name}".endswith(name)

    @pytest.mark.parametrize(
        ("name", "words"),
        [
            (None, "there is not one pool but several in the cluster; name one with --pool; there: gpu/a, lab/a"),
            ("a", "there is not one pool but several in the cluster"),
            ("b", "there is no pool b in the cluster"),
        ],
    )
    async def test_what_is_not_one_pool_lists_those_that_there_are(self, name: str | None, words: str) -> None:
        with pytest.raises(InvalidInput, match=words):
            await pool_of(await self.cluster("gpu/a", "lab/a"), None, name)

    async def test_a_cluster_without_the_kind_is_told_to_install_it(self) -> None:
        class Bare(FakeCluster):
            async def list(self, kind: Kind, namespace: str | None = None, labels: object = None) -> Listing:
                raise ApiNotFound("404 page not found")

        with pytest.raises(InvalidInput, match="install modelpool there"):
            await pool_of(Bare(), None, None)

    async def test_a_resource_that_cannot_work_is_refused_with_its_name_and_field(self) -> None:
        cluster = FakeCluster()
        broken = resource("studio", "gpu")
        broken["spec"]["tiers"][0]["slots"] = -1
        await cluster.create(MODEL_POOL, broken)
        with pytest.raises(InvalidSpec, match=r"gpu/studio: spec\.tiers\[0\]\.slots"):
            await pool_of(cluster, None, None)

    async def test_a_file_that_differs_from_the_cluster_is_told_apart(self) -> None:
        cluster = await self.cluster("gpu/studio")
        same = read_pool(resource("studio", "gpu"), "pool.yaml")
        assert await compared(cluster, same) == ()
        other = parse_pool(POOL_FILE.replace("name: studio", "name: studio, namespace: gpu"), "pool.yaml")
        (note,) = await compared(cluster, other)
        assert note == "The file is not what the cluster has as gpu/studio: this is the plan once it is applied."
        (note,) = await compared(await self.cluster(), same)
        assert note == "The cluster has no ModelPool gpu/studio: this is the plan once the file is applied."


def resource(name: str, namespace: str) -> dict[str, Any]:
    return {
        "apiVersion": "modelpool.dev/v1alpha1",
        "kind": "ModelPool",
        "metadata": {"name": name, "namespace": namespace},
        "spec": a_pool(),
    }
