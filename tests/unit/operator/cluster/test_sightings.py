"""What was last seen: events in any order, and listings that mend what they have missed."""

from typing import Any

from modelpool.resources.pool import PoolRef
from modelpool_operator.cluster.fake import FakeCluster
from modelpool_operator.cluster.port import MODEL_POOL, POD, Manifest
from modelpool_operator.cluster.sightings import Sightings
from modelpool_operator.runtimes.pods.spec import COMMON_LABELS
from support.pool_specs import pool_object

STUDIO = PoolRef("art", "studio")


class Noticed:
    def __init__(self) -> None:
        self.pools: list[PoolRef] = []
        self.sightings = Sightings(self.pools.append)

    def taken(self) -> list[PoolRef]:
        pools, self.pools[:] = list(self.pools), []
        return pools


def pod(name: str = "studio-primary-0", version: int = 1, **metadata: Any) -> Manifest:
    labels = {**COMMON_LABELS, "modelpool.dev/pool": "studio"}
    fields = {"name": name, "namespace": "art", "uid": name, "resourceVersion": str(version), "labels": labels}
    return {"metadata": {**fields, **metadata}, "spec": {}}


def pool(version: int = 1, generation: int = 1, **more: Any) -> Manifest:
    metadata = {
        "name": "studio",
        "namespace": "art",
        "uid": "p",
        "generation": generation,
        "resourceVersion": str(version),
    }
    return {"metadata": metadata, **more}


def test_news_of_a_pod_concern_its_pool() -> None:
    noticed = Noticed()
    noticed.sightings.saw("ADDED", POD, pod())
    assert noticed.taken() == [STUDIO]
    assert [one["metadata"]["name"] for one in noticed.sightings.pods(STUDIO)] == ["studio-primary-0"]


def test_old_news_are_no_news() -> None:
    noticed = Noticed()
    noticed.sightings.saw("MODIFIED", POD, pod(version=5))
    noticed.taken()
    noticed.sightings.saw("ADDED", POD, pod(version=4))
    assert noticed.taken() == []


def test_what_is_gone_does_not_come_back_by_a_late_listing() -> None:
    noticed = Noticed()
    noticed.sightings.saw("ADDED", POD, pod(version=5))
    noticed.sightings.saw("DELETED", POD, pod(version=7))
    noticed.sightings.saw(None, POD, pod(version=6))
    assert noticed.sightings.pods(STUDIO) == []
    noticed.sightings.saw("ADDED", POD, pod(version=8))
    assert len(noticed.sightings.pods(STUDIO)) == 1


def test_a_pods_owner_says_whose_it_is_whatever_its_label() -> None:
    noticed = Noticed()
    noticed.sightings.saw("ADDED", POD, pod(ownerReferences=[{"kind": "ModelPool", "name": "other", "uid": "o"}]))
    assert len(noticed.sightings.pods(PoolRef("art", "other"))) == 1
    assert noticed.sightings.pods(STUDIO) == []


def test_our_own_writing_of_the_status_is_no_news_but_another_operators_epoch_is() -> None:
    noticed = Noticed()
    noticed.sightings.saw("ADDED", MODEL_POOL, pool(1, status={"epoch": 1, "queued": 0}))
    noticed.taken()
    noticed.sightings.saw("MODIFIED", MODEL_POOL, pool(2, status={"epoch": 1, "queued": 7}))
    assert noticed.taken() == []
    noticed.sightings.saw("MODIFIED", MODEL_POOL, pool(3, status={"epoch": 2}))
    assert noticed.taken() == [STUDIO]
    noticed.sightings.saw("MODIFIED", MODEL_POOL, pool(4, generation=2, status={"epoch": 2}))
    assert noticed.taken() == [STUDIO]


def test_a_pool_that_is_being_deleted_is_gone_for_us() -> None:
    noticed = Noticed()
    going = pool()
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    noticed.sightings.saw("MODIFIED", MODEL_POOL, going)
    assert STUDIO not in noticed.sightings.pools()


async def test_a_listing_finds_what_came_and_what_went_unseen() -> None:
    noticed, cluster = Noticed(), FakeCluster()
    await cluster.create(MODEL_POOL, pool_object())
    await cluster.create(POD, pod("studio-primary-0"))
    gone = await cluster.create(POD, pod("studio-primary-1"))
    noticed.sightings.saw("ADDED", POD, gone)
    cluster.remove(POD, "art", "studio-primary-1")
    await noticed.sightings.refresh(cluster, [])
    assert noticed.sightings.complete
    assert list(noticed.sightings.pools()) == [STUDIO]
    assert [one["metadata"]["name"] for one in noticed.sightings.pods(STUDIO)] == ["studio-primary-0"]


async def test_a_listing_that_is_older_than_an_event_takes_nothing_away() -> None:
    noticed, cluster = Noticed(), FakeCluster()
    noticed.sightings.saw("ADDED", POD, pod(version=10_000))
    await noticed.sightings.refresh(cluster, [])
    assert len(noticed.sightings.pods(STUDIO)) == 1


async def test_namespaces_that_are_not_watched_are_not_listed() -> None:
    noticed, cluster = Noticed(), FakeCluster()
    await cluster.create(MODEL_POOL, pool_object())
    await noticed.sightings.refresh(cluster, ["music"])
    assert noticed.sightings.pools() == {}
    await noticed.sightings.refresh(cluster, ["music", "art"])
    assert list(noticed.sightings.pools()) == [STUDIO]
