"""What a slot's pod looks like."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelpool.errors import InvalidSpec
from modelpool.resources.spec import ModelPool
from modelpool_operator.cluster.port import Manifest
from modelpool_operator.runtimes.pods.spec import (
    PLACEMENT_HASH,
    TEMPLATE_HASH,
    Setting,
    claim_template_of,
    pod_of,
    secret_of,
)
from modelpool_operator.workers import desired_slots
from support.pool_specs import cluster_pool

SETTING = Setting(pool_uid="uid-1", image="modelpool/worker:1", redis_url="redis://:pw@r/0", store_url="http://s:8080/")


def pods(pool: ModelPool, setting: Setting = SETTING) -> list[Manifest]:
    return [pod_of(pool, slot, setting) for slot in desired_slots(pool, 1).slots]


def pod(setting: Setting = SETTING, **spec: Any) -> Manifest:
    return pods(cluster_pool(**spec), setting)[0]


def hashes(one: Manifest) -> tuple[str, str]:
    annotations = one["metadata"]["annotations"]
    return annotations[TEMPLATE_HASH], annotations[PLACEMENT_HASH]


def worker(one: Manifest) -> Manifest:
    found: Manifest = next(c for c in one["spec"]["containers"] if c["name"] == "worker")
    return found


def environment(one: Manifest) -> dict[str, Any]:
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in worker(one)["env"]}


def test_each_slot_has_a_pod_of_its_own_name_that_belongs_to_the_pool() -> None:
    made = pods(cluster_pool())
    assert [one["metadata"]["name"] for one in made] == ["studio-primary-0", "studio-primary-1", "studio-secondary-0"]
    metadata = made[2]["metadata"]
    assert metadata["namespace"] == "art"
    assert metadata["labels"] == {
        "app.kubernetes.io/name": "modelpool",
        "app.kubernetes.io/component": "worker",
        "app.kubernetes.io/managed-by": "modelpool",
        "modelpool.dev/pool": "studio",
        "modelpool.dev/tier": "secondary",
        "modelpool.dev/slot": "studio-secondary-0",
    }
    owner = metadata["ownerReferences"][0]
    assert (owner["kind"], owner["name"], owner["uid"], owner["controller"]) == ("ModelPool", "studio", "uid-1", True)


def test_a_pod_meets_the_restricted_standard_and_has_no_credentials() -> None:
    spec = pod()["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert spec["containers"][0]["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_the_addresses_of_redis_and_store_come_from_a_secret_and_are_nowhere_in_the_pod() -> None:
    made = pod()
    assert environment(made)["MODELPOOL_REDIS_URL"] == {"secretKeyRef": {"name": "studio-worker", "key": "redisUrl"}}
    assert environment(made)["MODELPOOL_STORE_URL"] == {"secretKeyRef": {"name": "studio-worker", "key": "storeUrl"}}
    assert "redis://" not in str(made)
    secret = secret_of(cluster_pool(), SETTING)
    assert secret["metadata"]["name"] == "studio-worker"
    assert secret["stringData"] == {"redisUrl": "redis://:pw@r/0", "storeUrl": "http://s:8080/"}
    assert secret["metadata"]["ownerReferences"][0]["uid"] == "uid-1"


def test_one_gpu_of_the_device_plugin_and_memory_for_warm_weights_and_the_process() -> None:
    assert worker(pod())["resources"] == {"limits": {"memory": str(3 * 2**30), "nvidia.com/gpu": "1"}}
    assert "NVIDIA_VISIBLE_DEVICES" not in environment(pod())


def test_on_a_cpu_what_stands_for_the_gpu_s_memory_is_the_pod_s_own() -> None:
    vram = int(environment(pod())["MODELPOOL_VRAM"])
    made = pods(cluster_pool(worker={"device": "cpu"}))[0]
    assert worker(made)["resources"]["limits"]["memory"] == str(3 * 2**30 + vram)


def test_a_claim_takes_the_place_of_the_device_plugin() -> None:
    gpu = {
        "mode": "ResourceClaim",
        "claim": {"deviceClassName": "gpu.nvidia.com", "selectors": ["device.attributes['x'].index < 4"]},
    }
    pool = cluster_pool(gpu=gpu)
    template = claim_template_of(pool, SETTING)
    assert template is not None
    assert template["spec"]["spec"]["devices"]["requests"] == [
        {
            "name": "gpu",
            "exactly": {
                "deviceClassName": "gpu.nvidia.com",
                "allocationMode": "ExactCount",
                "count": 1,
                "selectors": [{"cel": {"expression": "device.attributes['x'].index < 4"}}],
            },
        }
    ]
    made = pods(pool)[0]
    assert made["spec"]["resourceClaims"] == [
        {"name": "gpu", "resourceClaimTemplateName": template["metadata"]["name"]}
    ]
    assert worker(made)["resources"] == {"limits": {"memory": str(3 * 2**30)}, "claims": [{"name": "gpu"}]}
    other = claim_template_of(cluster_pool(gpu={**gpu, "claim": {"deviceClassName": "other"}}), SETTING)
    assert other is not None
    assert other["metadata"]["name"] != template["metadata"]["name"]
    assert claim_template_of(cluster_pool(), SETTING) is None


def test_a_tier_may_want_other_gpus_than_its_pool() -> None:
    pool = cluster_pool(
        gpu={"nodeSelector": {"gpu": "l4"}, "runtimeClassName": "nvidia"},
        tiers=[
            {**tier, "gpu": {"resourceName": "nvidia.com/mig-3g.20gb", "nodeSelector": {"gpu": "h100"}}}
            if tier["name"] == "secondary"
            else tier
            for tier in _tiers()
        ],
    )
    first, _, third = pods(pool)
    assert first["spec"]["nodeSelector"] == {"gpu": "l4"}
    assert third["spec"]["nodeSelector"] == {"gpu": "h100"}
    assert "nvidia.com/mig-3g.20gb" in worker(third)["resources"]["limits"]
    assert {one["spec"]["runtimeClassName"] for one in (first, third)} == {"nvidia"}


def _tiers() -> list[Manifest]:
    pool = cluster_pool()
    return [tier.model_dump(mode="json", by_alias=True, exclude_none=True) for tier in pool.spec.tiers]


def test_a_lost_node_is_given_up_after_the_pools_own_time() -> None:
    tolerations = pod(gpu={"tolerations": [{"key": "gpu", "operator": "Exists"}]})["spec"]["tolerations"]
    assert tolerations[0] == {"key": "gpu", "operator": "Exists"}
    assert {(t["key"], t["effect"], t["tolerationSeconds"]) for t in tolerations[1:]} == {
        ("node.kubernetes.io/not-ready", "NoExecute", 45),
        ("node.kubernetes.io/unreachable", "NoExecute", 45),
    }


@pytest.mark.parametrize(
    ("volume", "source"),
    [
        (
            {"persistentVolumeClaim": {"claimName": "models"}},
            {"persistentVolumeClaim": {"claimName": "models", "readOnly": True}},
        ),
        ({"image": {"reference": "r/m:1"}}, {"image": {"reference": "r/m:1", "pullPolicy": "IfNotPresent"}}),
    ],
)
def test_the_models_are_mounted_read_only(volume: Manifest, source: Manifest) -> None:
    made = pod(modelVolume=volume)
    assert made["spec"]["volumes"] == [{"name": "models", **source}, {"name": "tmp", "emptyDir": {}}]
    assert {"name": "models", "mountPath": "/models", "readOnly": True} in worker(made)["volumeMounts"]


def test_without_a_model_volume_nothing_is_mounted_there() -> None:
    assert [mount["mountPath"] for mount in worker(pod())["volumeMounts"]] == ["/tmp"]


def test_probes_ask_the_workers_own_port() -> None:
    made = worker(pod())
    assert made["ports"] == [{"name": "http", "containerPort": 8082, "protocol": "TCP"}]
    assert made["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
    assert made["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    assert environment(pod())["MODELPOOL_LISTEN_PORT"] == "8082"


def test_the_overlay_may_change_anything_but_what_the_operator_needs() -> None:
    made = pod(
        worker={
            "image": "mine/worker:2",
            "resources": {"requests": {"cpu": "2"}, "limits": {"memory": "9Gi"}},
            "podTemplate": {
                "metadata": {"labels": {"team": "art", "modelpool.dev/pool": "stolen"}, "annotations": {"a": "b"}},
                "spec": {
                    "priorityClassName": "batch",
                    "terminationGracePeriodSeconds": 300,
                    "containers": [
                        {"name": "worker", "env": [{"name": "TZ", "value": "UTC"}]},
                        {"name": "sidecar", "image": "s"},
                    ],
                },
            },
        }
    )
    assert made["metadata"]["labels"]["team"] == "art"
    assert made["metadata"]["labels"]["modelpool.dev/pool"] == "studio"
    assert made["metadata"]["annotations"]["a"] == "b"
    assert made["spec"]["priorityClassName"] == "batch"
    assert [container["name"] for container in made["spec"]["containers"]] == ["worker", "sidecar"]
    assert worker(made)["image"] == "mine/worker:2"
    assert worker(made)["resources"] == {
        "limits": {"memory": "9Gi", "nvidia.com/gpu": "1"},
        "requests": {"cpu": "2"},
    }
    assert environment(made)["TZ"] == "UTC"
    assert environment(made)["MODELPOOL_GRACE_SECONDS"] == "295"


@pytest.mark.parametrize(
    ("template", "field"),
    [
        ({"metadata": "x"}, "metadata"),
        ({"metadata": {"labels": ["x"]}}, "metadata.labels"),
        ({"spec": "x"}, "spec"),
        ({"spec": {"containers": "x"}}, "spec.containers"),
        ({"spec": {"containers": ["x"]}}, "spec.containers"),
    ],
)
def test_a_template_that_leaves_no_pod_is_refused_by_its_field(template: Manifest, field: str) -> None:
    with pytest.raises(InvalidSpec, match=rf"^spec\.worker\.podTemplate\.{field}: "):
        pod(worker={"podTemplate": template})


@pytest.mark.parametrize(
    ("change", "template_changes", "placement_changes"),
    [
        pytest.param({}, False, False, id="nothing"),
        pytest.param({"targetSeconds": 20}, False, False, id="what workers read elsewhere"),
        pytest.param({"rebalance": {"hysteresis": 5}}, False, False, id="rules of the planner"),
        pytest.param({"worker": {"image": "other"}}, True, False, id="image"),
        pytest.param({"hostMemory": "3Gi"}, True, True, id="memory"),
        pytest.param({"gpu": {"nodeSelector": {"a": "b"}}}, True, True, id="node"),
        pytest.param({"gpu": {"resourceName": "nvidia.com/typo"}}, True, True, id="resource"),
        pytest.param({"worker": {"podTemplate": {"metadata": {"labels": {"a": "b"}}}}}, True, False, id="label"),
    ],
)
def test_the_hashes_change_with_what_they_stand_for(
    change: Manifest, template_changes: bool, placement_changes: bool
) -> None:
    before, after = hashes(pod()), hashes(pod(**change))
    assert (before[0] != after[0], before[1] != after[1]) == (template_changes, placement_changes)


@pytest.mark.parametrize("other", [{"redis_url": "redis://x"}, {"store_url": "http://x"}, {"image": "x"}])
def test_workers_are_renewed_when_their_surroundings_change(other: dict[str, str]) -> None:
    named = {
        "pool_uid": "uid-1",
        "image": "modelpool/worker:1",
        "redis_url": "redis://:pw@r/0",
        "store_url": "http://s",
    }
    first, second = Setting(**named), Setting(**{**named, **other})
    assert hashes(pod(first))[0] != hashes(pod(second))[0]


def test_all_pods_of_a_tier_have_one_placement_and_each_a_template_of_its_own() -> None:
    first, second, other = (hashes(one) for one in pods(cluster_pool()))
    assert first[1] == second[1] == other[1]
    assert len({first[0], second[0], other[0]}) == 3


labels = st.dictionaries(st.sampled_from(["a", "b", "c"]), st.sampled_from(["1", "2"]), max_size=3)
variables = st.lists(
    st.fixed_dictionaries(
        {"name": st.sampled_from(["A", "B", "MODELPOOL_VRAM"]), "value": st.sampled_from(["1", "2"])}
    ),
    max_size=3,
)


@settings(max_examples=20)
@given(labels, variables)
def test_the_same_pool_makes_the_same_pod_whatever_the_order_of_its_fields(
    some: dict[str, str], env: list[dict[str, str]]
) -> None:
    def made(flip: bool) -> Manifest:
        ordered = dict(reversed(some.items())) if flip else some
        metadata = {"metadata": {"labels": ordered}}
        spec = {"spec": {"containers": [{"name": "worker", "env": env}]}}
        return pod(worker={"podTemplate": {**spec, **metadata} if flip else {**metadata, **spec}})

    assert made(False) == made(True)
    assert hashes(made(False)) == hashes(made(True))
