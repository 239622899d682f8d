"""What can happen to a worker's pod: killed, out of memory, evicted, deleted, edited; and the kubelet below it restarted."""

import time
from collections.abc import Callable

import pytest

from cluster import Cluster
from cluster.kubectl import Object
from cluster.layout import NODES
from cluster.node import KUBELET
from support.rota import PRIMARY, SECONDARY, SLOTS, Rota, SlotPod, rota_pool

Record = Callable[[str, object], None]
FIRST = PRIMARY[0]
LONG = 100
"""Steps of a job that lasts five seconds."""


def busy_with(rota: Rota, slot: str, job: Object) -> bool:
    """Whether the job runs; in a tier of one slot it runs there."""
    return slot in SLOTS and rota.job(job)["state"] == "running"


@pytest.mark.budget(75)
def test_a_killed_worker_comes_back_in_its_pod_and_its_job_is_made_all_the_same(
    rota: Rota, cluster: Cluster, record_property: Record
) -> None:
    before = rota.pods()
    rota.made("red")
    job = rota.submit("red", steps=LONG)
    rota.until("the job runs", lambda: busy_with(rota, SECONDARY, job))

    started = time.monotonic()
    victim = before[SECONDARY]
    cluster.nodes[victim.node].ctr("tasks", "kill", "--signal", "SIGKILL", victim.container)
    rota.until("the container was started again", lambda: rota.pods()[SECONDARY].restarts == victim.restarts + 1)
    rota.made("red")
    record_property("worker killed to another job made in its slot, s", round(time.monotonic() - started, 1))
    ended = rota.ended(job)
    record_property("worker killed to its job made, s", round(time.monotonic() - started, 1))
    assert ended["state"] == "succeeded", ended
    after = rota.pods()
    assert {name: pod.uid for name, pod in after.items()} == {name: pod.uid for name, pod in before.items()}


@pytest.mark.budget(45)
def test_an_evicted_pod_and_a_deleted_one_finish_their_work_and_are_replaced(
    rota: Rota, record_property: Record
) -> None:
    before = rota.pods()
    rota.made("red")
    job = rota.submit("red", steps=LONG)
    rota.until("the job runs", lambda: busy_with(rota, SECONDARY, job))

    started = time.monotonic()
    pods = f"/api/v1/namespaces/{rota.service.namespace}/pods"
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": SECONDARY}}
    rota.kube.call("POST", f"{pods}/{SECONDARY}/eviction", eviction)
    rota.kube.call("DELETE", f"{pods}/{FIRST}")
    rota.until("both slots have a new pod", lambda: replaced(rota, before) == {SECONDARY, FIRST})
    rota.until_served()
    record_property("evicted to replacement serving, s", round(time.monotonic() - started, 1))
    ended = rota.ended(job)
    assert (ended["state"], ended["attempts"]) == ("succeeded", 0), "it was finished before the pod went"


def replaced(rota: Rota, before: dict[str, SlotPod]) -> set[str]:
    """Slots whose pod is another one by now."""
    return {name for name, pod in rota.pods().items() if pod.uid != before[name].uid}


@pytest.mark.budget(20)
def test_labels_and_annotations_that_somebody_edits_are_mended_without_a_restart(rota: Rota) -> None:
    before = rota.lives()
    kubectl, here = rota.service.kubectl, f"--namespace={rota.service.namespace}"
    kubectl("label", "pod", FIRST, "modelpool.dev/tier=other", "--overwrite", here)
    kubectl("annotate", "pod", SECONDARY, "modelpool.dev/placement-hash-", here)
    # Without this one the operator's watch does not show it any more.
    kubectl("label", "pod", PRIMARY[1], "app.kubernetes.io/component-", here)

    def mended() -> bool:
        found = {pod["metadata"]["name"]: pod["metadata"] for pod in kubectl.list("pods", rota.service.namespace)}
        return (
            found[FIRST]["labels"].get("modelpool.dev/tier") == "primary"
            and "modelpool.dev/placement-hash" in found[SECONDARY]["annotations"]
            and found[PRIMARY[1]]["labels"].get("app.kubernetes.io/component") == "worker"
        )

    rota.until("all three are as they were made", mended)
    rota.until_served()
    assert rota.lives() == before
    rota.made("base")


@pytest.mark.budget(45)
def test_a_restarted_kubelet_disturbs_nobody_and_hands_out_gpus_again(rota: Rota, cluster: Cluster) -> None:
    before = rota.lives()
    node = cluster.nodes[NODES[0]]
    with rota.traffic("base") as visitors:
        node.machine.kill(KUBELET)
        visitors.flows()
        node.machine.start_again(KUBELET)
        node.wait_until_ready()
        node.wait_for_gpus(7)
        rota.until_served()
    outcome = visitors.outcome()
    assert rota.lives() == before
    assert (outcome.lost, outcome.refused) == ([], [])

    gpu = rota.slot(FIRST)["uuid"]
    rota.kube.call("DELETE", f"/api/v1/namespaces/{rota.service.namespace}/pods/{FIRST}")
    rota.until("the slot has a new pod", lambda: rota.lives().get(FIRST) not in (None, before[FIRST]))
    rota.until_served()
    uuids = [rota.slot(slot)["uuid"] for slot in SLOTS]
    assert len(set(uuids)) == len(SLOTS), f"each has a GPU of its own, also the new one, which had {gpu}"


@pytest.mark.budget(60)
def test_a_worker_over_its_memory_limit_is_killed_says_so_and_recovers_with_a_better_limit(
    rota: Rota, record_property: Record
) -> None:
    before = rota.lives()
    tight = rota_pool()
    tight["spec"]["worker"]["resources"] = {"limits": {"memory": "32Mi"}}
    with rota.traffic("base") as visitors:
        rota.apply(tight)
        stopped = rota.until(
            "the rollout has stopped, because the first slot's worker needs more memory than it may have",
            lambda: rota.says("Degraded", "RolloutStopped", "OOMKilled"),
        )
        record_property("what the condition says", stopped["message"] if stopped else "")
        (slot,) = (name for name, life in rota.lives().items() if life[0] != before[name][0])
        rota.until("it is restarted, slower and slower", lambda: rota.slot(slot)["phase"] == "Restarting")
        assert "OOMKilled (exit code 137)" in rota.slot(slot)["reason"]
        visitors.flows()
        rota.apply(rota_pool())
        rota.until_served()
    outcome = visitors.outcome()
    assert (outcome.lost, outcome.refused) == ([], [])
    assert {name for name, life in rota.lives().items() if life != before[name]} == {slot}
