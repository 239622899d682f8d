"""The pods of one pool in a cluster in memory: what the runtime does, and what it says."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import pytest

from modelpool.documents import Heartbeat
from modelpool.errors import QueueUnavailable, StaleEpoch
from modelpool.resources.pool import PoolRef
from modelpool.resources.spec import ModelPool
from modelpool.slots import ObservedSlots, SlotPhase
from modelpool_operator.cluster.fake import FakeCluster
from modelpool_operator.cluster.port import POD, RESOURCE_CLAIM_TEMPLATE, SECRET, ApiNotFound, Kind, Manifest
from modelpool_operator.cluster.sightings import Sightings
from modelpool_operator.runtimes.pods.runtime import AGAIN_MS, PodRuntime
from modelpool_operator.runtimes.pods.spec import Setting
from modelpool_operator.runtimes.port import RuntimeUnavailable
from modelpool_operator.workers import desired_slots
from support.pool_specs import cluster_pool

POOL = PoolRef("art", "studio")
A0, A1, R0 = "studio-primary-0", "studio-primary-1", "studio-secondary-0"
SETTING = Setting("owner", "modelpool/worker:1", "redis://r", "http://s")


class Stage:
    """A pool, its pods, and workers that serve when the test says so."""

    def __init__(self) -> None:
        self.pool: ModelPool = cluster_pool()
        self.now = 1_000_000
        self.cluster = FakeCluster(lambda: datetime.fromtimestamp(self.now / 1000, UTC))
        self.sightings = Sightings(lambda ref: None)
        self.blind = False
        """News of the cluster does not arrive."""
        self.cluster.watchers.append(self._see)
        self.serving: dict[str, tuple[str, ...]] = {}
        self.redis_away = False
        self.newer_epoch = 0
        self.runtime = PodRuntime(
            lambda: self.pool,
            SETTING,
            cluster=self.cluster,
            sightings=self.sightings,
            heartbeats=self._heartbeats,
            fence=self._fence,
            now=lambda: self.now,
        )

    def _see(self, event: str, kind: Kind, item: Manifest) -> None:
        if kind == POD and not self.blind:
            self.sightings.saw(event, kind, item)

    async def _heartbeats(self, slots: Sequence[str]) -> Mapping[str, Heartbeat]:
        if self.redis_away:
            raise QueueUnavailable("Redis is away")
        return {s: Heartbeat(slot=s, worker="w", pid=1, hot=self.serving[s]) for s in slots if s in self.serving}

    async def _fence(self, epoch: int) -> None:
        if self.redis_away:
            raise QueueUnavailable("Redis is away")
        if self.newer_epoch > epoch:
            raise StaleEpoch("there is a newer one")

    async def look(self) -> ObservedSlots:
        return await self.runtime.apply(desired_slots(self.pool, 1))

    async def look_until_at_rest(self) -> ObservedSlots:
        for _ in range(20):
            before = len(self.cluster.writes)
            seen = await self.look()
            if len(self.cluster.writes) == before:
                return seen
        raise AssertionError(f"it never rests: {self.cluster.writes}")

    def bring_up(self, *slots: str) -> None:
        """Pods and workers alike."""
        for slot in slots:
            self.cluster.run("art", slot)
            self.serving[slot] = ("flat",) if "primary" in slot else ("neon",)

    def written(self) -> list[tuple[str, str, str]]:
        written, self.cluster.writes = self.cluster.writes, []
        return written

    def image(self, slot: str) -> str:
        pod = self.cluster.find(POD, "art", slot)
        return str(pod["spec"]["containers"][0]["image"]) if pod is not None else ""


@pytest.fixture
async def stage() -> Stage:
    """Three slots that serve."""
    made = Stage()
    await made.look()
    made.bring_up(A0, A1, R0)
    made.written()
    return made


def phases(seen: ObservedSlots) -> dict[str, SlotPhase]:
    return {slot.slot: slot.phase for slot in seen.slots}


async def test_a_new_pool_gets_its_secret_first_and_then_all_its_pods() -> None:
    stage = Stage()
    await stage.look()
    assert stage.written() == [
        ("create", "Secret", "studio-worker"),
        ("create", "Pod", A0),
        ("create", "Pod", A1),
        ("create", "Pod", R0),
    ]
    secret = stage.cluster.find(SECRET, "art", "studio-worker")
    assert secret is not None
    assert secret["stringData"]["redisUrl"] == "redis://r"


async def test_at_rest_nothing_is_written(stage: Stage) -> None:
    seen = await stage.look()
    assert phases(seen) == dict.fromkeys([A0, A1, R0], SlotPhase.READY)
    assert [slot.node for slot in seen.slots] == ["node-1"] * 3
    assert stage.written() == []


async def test_a_template_goes_round_slot_by_slot_and_each_waits_until_the_last_serves(stage: Stage) -> None:
    stage.pool = cluster_pool(worker={"image": "modelpool/worker:2"})
    for slot in (A0, A1, R0):
        seen = await stage.look_until_at_rest()
        assert stage.written() == [("delete", "Pod", slot)]
        assert phases(seen)[slot] is SlotPhase.DRAINING
        assert sum(phase is SlotPhase.READY for phase in phases(seen).values()) == 2
        del stage.serving[slot]
        stage.cluster.finish("art", slot)
        await stage.look_until_at_rest()
        assert stage.written() == [("create", "Pod", slot)]
        stage.cluster.run("art", slot)
        seen = await stage.look_until_at_rest()
        assert stage.written() == []  # its pod is ready, its worker does not serve yet
        assert seen.rollout or slot == R0
        stage.bring_up(slot)
    seen = await stage.look_until_at_rest()
    assert (stage.written(), seen.rollout) == ([], "")
    assert {stage.image(slot) for slot in (A0, A1, R0)} == {"modelpool/worker:2"}


async def test_a_bad_image_stops_at_the_first_slot_and_a_good_one_mends_that_slot_first(stage: Stage) -> None:
    stage.pool = cluster_pool(worker={"image": "typo"})
    await stage.look()
    del stage.serving[A0]
    stage.cluster.finish("art", A0)
    await stage.look()
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    stage.cluster.change(
        POD,
        "art",
        A0,
        {
            "spec": {"nodeName": "node-1"},
            "status": {"containerStatuses": [{"name": "worker", "state": waiting}]},
        },
    )
    stage.written()
    seen = await stage.look_until_at_rest()
    assert stage.written() == []
    assert seen.problems[0].reason == "RolloutStopped"
    assert seen.problems[0].message == (
        f"The rollout has stopped: {A0} does not come up with the new template: ImagePullBackOff: no such image"
    )
    stage.pool = cluster_pool(worker={"image": "modelpool/worker:1"})
    seen = await stage.look()
    assert stage.written() == [("delete", "Pod", A0)]
    assert seen.problems == ()


async def test_nobody_is_deleted_for_a_pod_that_the_api_server_would_refuse(stage: Stage) -> None:
    stage.cluster.refuses = lambda kind, manifest: (
        f'Pod "{manifest["metadata"]["name"]}" is invalid: no' if kind == POD else None
    )
    stage.pool = cluster_pool(worker={"image": "bad image"})
    seen = await stage.look()
    assert stage.written() == []
    assert seen.problems[0].reason == "PodRefused"
    assert seen.problems[0].message == f'{A0}: the API server refuses its pod: Pod "{A0}" is invalid: no'
    stage.pool = cluster_pool()
    assert (await stage.look()).problems == ()


async def test_a_refused_pod_is_tried_again_after_a_while() -> None:
    stage = Stage()
    stage.cluster.refuses = lambda kind, manifest: "exceeded quota: gpus" if kind == POD else None
    seen = await stage.look()
    assert {slot.reason for slot in seen.slots} == {"exceeded quota: gpus"}
    stage.cluster.refuses = lambda kind, manifest: None
    stage.written()
    await stage.look()
    assert stage.written() == []
    stage.now += AGAIN_MS
    await stage.look()
    assert [verb for verb, _, _ in stage.written()] == ["create"] * 3


async def test_an_overlay_that_makes_no_pod_is_a_problem_and_the_pods_stay(stage: Stage) -> None:
    stage.pool = cluster_pool(worker={"podTemplate": {"spec": {"containers": "none"}}})
    seen = await stage.look()
    assert seen.problems[0].reason == "InvalidSpec"
    assert seen.problems[0].message.startswith("spec.worker.podTemplate.spec.containers: ")
    assert phases(seen) == dict.fromkeys([A0, A1, R0], SlotPhase.READY)
    assert stage.written() == []


async def test_slots_come_and_go_with_their_tiers(stage: Stage) -> None:
    tiers = [tier.model_dump(mode="json", by_alias=True, exclude_none=True) for tier in stage.pool.spec.tiers]
    stage.pool = cluster_pool(tiers=[{**tiers[0], "slots": 3}])
    await stage.look()
    assert stage.written() == [("create", "Pod", "studio-primary-2"), ("delete", "Pod", R0)]
    stage.pool = cluster_pool(tiers=[{**tiers[0], "slots": 1}])
    await stage.look()
    assert sorted(stage.written()) == [("delete", "Pod", A1), ("delete", "Pod", "studio-primary-2")]


async def test_an_evicted_pod_is_deleted_and_made_anew(stage: Stage) -> None:
    stage.cluster.change(POD, "art", R0, {"status": {"phase": "Failed", "reason": "Evicted", "message": "low memory"}})
    seen = await stage.look()
    assert next(slot.reason for slot in seen.slots if slot.slot == R0) == "Evicted: low memory"
    assert stage.written() == [("delete", "Pod", R0)]
    stage.cluster.finish("art", R0)
    await stage.look()
    assert stage.written() == [("create", "Pod", R0)]


async def test_a_pod_deleted_by_hand_comes_back(stage: Stage) -> None:
    stage.cluster.remove(POD, "art", A1)
    await stage.look()
    assert stage.written() == [("create", "Pod", A1)]


async def test_a_pod_on_a_lost_node_is_given_up(stage: Stage) -> None:
    pod = stage.cluster.find(POD, "art", A1)
    assert pod is not None
    lost = [
        {"type": "Ready", "status": "False", "lastTransitionTime": "1970-01-01T00:16:40Z"},
        {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager"},
    ]
    stage.cluster.change(POD, "art", A1, {"status": {"conditions": lost}})
    await stage.cluster.delete(POD, "art", A1, uid=pod["metadata"]["uid"])
    stage.written()
    stage.now += 44_000
    await stage.look()
    assert stage.written() == []
    stage.now += 1_000
    await stage.look()
    assert stage.written() == []  # its worker still reports
    del stage.serving[A1]
    await stage.look()
    assert stage.written() == [("force-delete", "Pod", A1)]
    await stage.look()
    assert stage.written() == [("create", "Pod", A1)]


async def test_edited_metadata_is_mended_even_when_the_pod_was_lost_from_sight_by_it(stage: Stage) -> None:
    stage.cluster.change(POD, "art", A0, {"metadata": {"labels": {"modelpool.dev/pool": "other"}}})
    await stage.look()
    assert stage.written() == [("patch", "Pod", A0)]
    # The watch selects by label: a pod without it looks deleted.
    stage.blind = True
    stage.cluster.change(POD, "art", A0, {"metadata": {"labels": {"app.kubernetes.io/managed-by": "me"}}})
    unlabelled = stage.cluster.find(POD, "art", A0)
    assert unlabelled is not None
    stage.sightings.saw("DELETED", POD, unlabelled)
    stage.blind = False
    await stage.look()
    assert stage.written() == [("patch", "Pod", A0)]
    assert phases(await stage.look()) == dict.fromkeys([A0, A1, R0], SlotPhase.READY)


async def test_a_strangers_pod_of_the_same_name_is_left_alone() -> None:
    stage = Stage()
    stage.blind = True
    await stage.cluster.create(POD, {"metadata": {"name": A0, "namespace": "art"}, "spec": {}})
    stage.blind = False
    seen = await stage.look()
    assert "is not modelpool's; delete it or rename the tier" in seen.slots[0].reason
    assert ("delete", "Pod", A0) not in stage.written()


async def test_what_was_deleted_unseen_is_noticed_when_it_is_to_be_deleted(stage: Stage) -> None:
    stage.blind = True
    stage.cluster.remove(POD, "art", R0)
    stage.blind = False
    stage.pool = cluster_pool(worker={"image": "x"})
    for slot in (A0, A1):
        await stage.look()
        stage.cluster.finish("art", slot)
        await stage.look()
        stage.bring_up(slot)
    await stage.look()
    await stage.look()
    assert stage.image(R0) == "x"


async def test_a_deletion_under_way_is_not_asked_for_again(stage: Stage) -> None:
    stage.pool = cluster_pool(worker={"image": "x"})
    stage.blind = True
    await stage.look()
    await stage.look()
    assert stage.written() == [("delete", "Pod", A0)]


async def test_without_redis_a_missing_pod_is_made_and_no_serving_one_is_replaced(stage: Stage) -> None:
    stage.redis_away = True
    stage.cluster.remove(POD, "art", R0)
    await stage.look()
    assert stage.written() == [("create", "Pod", R0)]
    stage.bring_up(R0)
    stage.pool = cluster_pool(worker={"image": "x"})
    seen = await stage.look()
    assert stage.written() == []
    assert "Redis is away" in seen.rollout


async def test_an_older_operator_touches_no_pod(stage: Stage) -> None:
    stage.newer_epoch = 2
    assert phases(await stage.look()) == dict.fromkeys([A0, A1, R0], SlotPhase.READY)
    stage.cluster.remove(POD, "art", R0)
    with pytest.raises(StaleEpoch):
        await stage.look()
    assert stage.written() == []


async def test_an_api_server_that_is_away_is_no_runtime(stage: Stage) -> None:
    stage.cluster.remove(POD, "art", R0)
    stage.cluster.away = True
    with pytest.raises(RuntimeUnavailable, match="cannot be reached"):
        await stage.look()


async def test_a_lost_secret_is_made_again_for_pods_that_miss_it(stage: Stage) -> None:
    stage.cluster.remove(SECRET, "art", "studio-worker")
    waiting = {"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "studio-worker" not found'}}
    broken = {"conditions": [], "containerStatuses": [{"name": "worker", "state": waiting}]}
    stage.cluster.change(POD, "art", R0, {"status": broken})
    stage.now += AGAIN_MS
    await stage.look()
    assert stage.written() == [("create", "Secret", "studio-worker")]


async def test_a_claim_template_is_made_before_the_pods_that_claim() -> None:
    stage = Stage()
    stage.pool = cluster_pool(gpu={"mode": "ResourceClaim", "claim": {"deviceClassName": "gpu.example"}})
    await stage.look()
    kinds = [kind for _, kind, _ in stage.written()]
    assert kinds == ["Secret", RESOURCE_CLAIM_TEMPLATE.name, "Pod", "Pod", "Pod"]


async def test_a_claim_template_that_somebody_has_deleted_is_made_again_for_the_next_pod() -> None:
    stage = Stage()
    stage.pool = claiming("gpu.example")
    await stage.look()
    (template,) = [name for _, kind, name in stage.written() if kind == RESOURCE_CLAIM_TEMPLATE.name]
    stage.cluster.remove(RESOURCE_CLAIM_TEMPLATE, "art", template)
    stage.cluster.remove(POD, "art", R0)
    stage.now += AGAIN_MS
    await stage.look()
    assert stage.written()[-2:] == [("create", RESOURCE_CLAIM_TEMPLATE.name, template), ("create", "Pod", R0)]


def claiming(device_class: str) -> ModelPool:
    return cluster_pool(gpu={"mode": "ResourceClaim", "claim": {"deviceClassName": device_class}})


async def test_without_its_claim_template_no_pod_is_made_and_the_sentence_is_told() -> None:
    stage = Stage()
    stage.pool = claiming("gpu.example")
    stage.cluster.refuses = lambda kind, _: "selectors[0]: no such field" if kind == RESOURCE_CLAIM_TEMPLATE else None
    seen = await stage.look()
    assert stage.written() == [("create", "Secret", "studio-worker")]
    assert "selectors[0]: no such field" in seen.problems[0].message
    assert all("selectors[0]" in slot.reason for slot in seen.slots)
    stage.cluster.refuses = lambda kind, _: None
    stage.now += AGAIN_MS
    await stage.look()
    assert [kind for _, kind, _ in stage.written()] == [RESOURCE_CLAIM_TEMPLATE.name, "Pod", "Pod", "Pod"]


async def test_a_cluster_that_knows_no_resource_claims_is_a_problem_and_no_crash(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = Stage()
    stage.pool = claiming("gpu.example")
    create = stage.cluster.create

    async def without_claims(kind: Kind, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        if kind == RESOURCE_CLAIM_TEMPLATE:
            raise ApiNotFound("404 page not found")
        return await create(kind, manifest, dry_run=dry_run)

    monkeypatch.setattr(stage.cluster, "create", without_claims)
    seen = await stage.look()
    assert "gpu.mode ResourceClaim needs resource.k8s.io/v1" in seen.problems[0].message


async def test_nobody_is_deleted_for_a_claim_template_that_the_api_server_refuses(stage: Stage) -> None:
    stage.pool = claiming("gpu.example")
    stage.cluster.refuses = lambda kind, _: "no such field" if kind == RESOURCE_CLAIM_TEMPLATE else None
    seen = await stage.look()
    assert stage.written() == []
    assert "no such field" in seen.problems[0].message
