"""The cluster in memory behaves as a real one, as far as the operator relies on it."""

from datetime import UTC, datetime

import pytest

from modelpool_operator.cluster.fake import FakeCluster
from modelpool_operator.cluster.port import MODEL_POOL, POD, ApiUnavailable, Cluster
from support.cluster_contract import ClusterContract
from support.pool_specs import pool_object


class TestFake(ClusterContract):
    @pytest.fixture
    def api(self) -> Cluster:
        return FakeCluster()

    @pytest.fixture
    def namespace(self) -> str:
        return "art"


async def test_a_pod_with_a_node_takes_its_time_and_one_without_goes_at_once() -> None:
    cluster = FakeCluster(lambda: datetime(2026, 1, 1, tzinfo=UTC))
    for name in ("placed", "waiting"):
        await cluster.create(POD, {"metadata": {"name": name, "namespace": "art"}, "spec": {}})
    cluster.run("art", "placed")
    for name in ("placed", "waiting"):
        found = cluster.find(POD, "art", name)
        assert found is not None
        await cluster.delete(POD, "art", name, uid=found["metadata"]["uid"])
    assert cluster.find(POD, "art", "waiting") is None
    placed = cluster.find(POD, "art", "placed")
    assert placed is not None
    assert placed["metadata"]["deletionTimestamp"] == "2026-01-01T00:00:30Z"
    cluster.finish("art", "placed")
    assert cluster.find(POD, "art", "placed") is None


async def test_what_an_owner_owned_goes_with_it() -> None:
    cluster = FakeCluster()
    owner = await cluster.create(MODEL_POOL, pool_object())
    references = [{"kind": "ModelPool", "name": "studio", "uid": owner["metadata"]["uid"]}]
    metadata = {"name": "studio-primary-0", "namespace": "art", "ownerReferences": references}
    await cluster.create(POD, {"apiVersion": "v1", "metadata": metadata, "spec": {}})
    cluster.remove(MODEL_POOL, "art", "studio")
    assert cluster.find(POD, "art", "studio-primary-0") is None


async def test_only_a_change_of_the_spec_is_a_generation() -> None:
    cluster = FakeCluster()
    await cluster.create(MODEL_POOL, pool_object())
    await cluster.patch(MODEL_POOL, "art", "studio", {"status": {"epoch": 1}, "spec": {"x": 1}}, subresource="status")
    first = cluster.find(MODEL_POOL, "art", "studio")
    assert first is not None
    assert (first["metadata"]["generation"], first["status"], "x" in first["spec"]) == (1, {"epoch": 1}, False)
    second = await cluster.patch(MODEL_POOL, "art", "studio", {"spec": {"targetSeconds": 3}})
    assert second["metadata"]["generation"] == 2


async def test_one_that_is_away_answers_nothing() -> None:
    cluster = FakeCluster()
    cluster.away = True
    with pytest.raises(ApiUnavailable):
        await cluster.list(POD)
