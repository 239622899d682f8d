"""What the operator relies on of a Kubernetes API server: the same cases for the real one and for the one in memory."""

import pytest

from modelpool_operator.cluster.port import SECRET, ApiConflict, ApiNotFound, Cluster, Manifest

LABELS = {"modelpool.dev/test": "contract"}


def secret(namespace: str, name: str, **data: str) -> Manifest:
    return {
        "apiVersion": SECRET.api_version,
        "kind": SECRET.name,
        "metadata": {"name": name, "namespace": namespace, "labels": dict(LABELS)},
        "data": data,
    }


class ClusterContract:
    """Inherit, and give the fixtures `api` and `namespace` (an empty one)."""

    async def test_what_was_made_is_there_once(self, api: Cluster, namespace: str) -> None:
        made = await api.create(SECRET, secret(namespace, "a", x="eA=="))
        assert made["metadata"]["uid"]
        found = await api.get(SECRET, namespace, "a")
        assert found is not None
        assert (found["metadata"]["uid"], found["data"]) == (made["metadata"]["uid"], {"x": "eA=="})
        with pytest.raises(ApiConflict, match="already exists"):
            await api.create(SECRET, secret(namespace, "a"))

    async def test_what_is_not_there_is_none(self, api: Cluster, namespace: str) -> None:
        assert await api.get(SECRET, namespace, "nobody") is None

    async def test_a_dry_run_leaves_nothing(self, api: Cluster, namespace: str) -> None:
        await api.create(SECRET, secret(namespace, "dry"), dry_run=True)
        assert await api.get(SECRET, namespace, "dry") is None

    async def test_a_listing_selects_by_label_and_knows_its_moment(self, api: Cluster, namespace: str) -> None:
        before = await api.list(SECRET, namespace, LABELS)
        assert before.items == ()
        made = await api.create(SECRET, secret(namespace, "listed"))
        after = await api.list(SECRET, namespace, LABELS)
        (item,) = after.items
        assert (item["apiVersion"], item["kind"], item["metadata"]["name"]) == ("v1", "Secret", "listed")
        assert before.resource_version < int(made["metadata"]["resourceVersion"]) <= after.resource_version
        assert (await api.list(SECRET, namespace, {"modelpool.dev/test": "other"})).items == ()

    async def test_every_namespace_is_listed_when_none_is_named(self, api: Cluster, namespace: str) -> None:
        await api.create(SECRET, secret(namespace, "anywhere"))
        found = {item["metadata"]["namespace"] for item in (await api.list(SECRET, None, LABELS)).items}
        assert namespace in found

    async def test_a_patch_merges_and_null_removes(self, api: Cluster, namespace: str) -> None:
        await api.create(SECRET, secret(namespace, "p", x="eA==", y="eQ=="))
        patched = await api.patch(SECRET, namespace, "p", {"data": {"x": None, "z": "eg=="}})
        assert patched["data"] == {"y": "eQ==", "z": "eg=="}

    async def test_a_uid_in_a_patch_is_a_precondition(self, api: Cluster, namespace: str) -> None:
        made = await api.create(SECRET, secret(namespace, "u"))
        change: Manifest = {"metadata": {"uid": "11111111-2222-4333-8444-555555555555", "labels": {"a": "b"}}}
        with pytest.raises(ApiConflict):
            await api.patch(SECRET, namespace, "u", change)
        change["metadata"]["uid"] = made["metadata"]["uid"]
        assert (await api.patch(SECRET, namespace, "u", change))["metadata"]["labels"]["a"] == "b"
        with pytest.raises(ApiNotFound):
            await api.patch(SECRET, namespace, "nobody", {"data": {}})

    async def test_apply_makes_and_mends_and_does_nothing_twice(self, api: Cluster, namespace: str) -> None:
        made = await api.apply(SECRET, secret(namespace, "applied", x="eA=="))
        again = await api.apply(SECRET, secret(namespace, "applied", x="eA=="))
        assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
        await api.patch(SECRET, namespace, "applied", {"data": {"x": "eQ=="}})
        mended = await api.apply(SECRET, secret(namespace, "applied", x="eA=="))
        assert mended["data"] == {"x": "eA=="}

    async def test_only_the_object_that_was_meant_is_deleted(self, api: Cluster, namespace: str) -> None:
        made = await api.create(SECRET, secret(namespace, "d"))
        with pytest.raises(ApiConflict):
            await api.delete(SECRET, namespace, "d", uid="11111111-2222-4333-8444-555555555555")
        await api.delete(SECRET, namespace, "d", uid=made["metadata"]["uid"])
        assert await api.get(SECRET, namespace, "d") is None
        with pytest.raises(ApiNotFound):
            await api.delete(SECRET, namespace, "d", uid=made["metadata"]["uid"])
