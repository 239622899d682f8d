"""What a pod says of itself becomes a phase and a reason."""

from typing import Any

import pytest

from modelpool.slots import SlotPhase
from modelpool_operator.cluster.fake import ready_status
from modelpool_operator.cluster.port import Manifest
from modelpool_operator.runtimes.pods.seen import seen_pod

SCHEDULED = {"type": "PodScheduled", "status": "True"}
UNREADY = {"type": "Ready", "status": "False", "lastTransitionTime": "1970-01-01T00:01:00Z"}
OOM = {"terminated": {"reason": "OOMKilled", "exitCode": 137}}


def made(status: Manifest, **metadata: Any) -> Manifest:
    labels = {"modelpool.dev/tier": "primary", "modelpool.dev/slot": "studio-primary-0"}
    return {
        "metadata": {"name": "studio-primary-0", "uid": "u", "labels": labels, **metadata},
        "spec": {"nodeName": "node-1"},
        "status": status,
    }


def container(state: Manifest, **more: Any) -> Manifest:
    return {
        "phase": "Running",
        "conditions": [SCHEDULED, UNREADY],
        "containerStatuses": [{"name": "worker", "state": state, **more}],
    }


@pytest.mark.parametrize(
    ("status", "phase", "reason"),
    [
        pytest.param({"phase": "Pending"}, SlotPhase.STARTING, "", id="nobody has looked at it yet"),
        pytest.param(
            {
                "phase": "Pending",
                "conditions": [
                    {
                        "type": "PodScheduled",
                        "status": "False",
                        "reason": "Unschedulable",
                        "message": "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.",
                    }
                ],
            },
            SlotPhase.PENDING,
            "Unschedulable: 0/1 nodes are available: 1 Insufficient nvidia.com/gpu.",
            id="no room",
        ),
        pytest.param(container({"waiting": {"reason": "ContainerCreating"}}), SlotPhase.STARTING, "", id="creating"),
        pytest.param(
            container({"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image x"}}),
            SlotPhase.FAILED,
            "ImagePullBackOff: Back-off pulling image x",
            id="bad image",
        ),
        pytest.param(
            container({"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "s" not found'}}),
            SlotPhase.FAILED,
            'CreateContainerConfigError: secret "s" not found',
            id="no secret",
        ),
        pytest.param(
            container({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}, lastState=OOM),
            SlotPhase.RESTARTING,
            "CrashLoopBackOff: OOMKilled (exit code 137)",
            id="out of memory, again and again",
        ),
        pytest.param(container(OOM), SlotPhase.RESTARTING, "OOMKilled (exit code 137)", id="just ended"),
        pytest.param(
            container({"terminated": {"reason": "Error", "exitCode": 3, "message": "a\ndevice failed\n"}}),
            SlotPhase.RESTARTING,
            "Error (exit code 3): device failed",
            id="its last words",
        ),
        pytest.param(
            container({"running": {}}, lastState=OOM, restartCount=1),
            SlotPhase.STARTING,
            "OOMKilled (exit code 137)",
            id="starting again",
        ),
        pytest.param(ready_status(), SlotPhase.READY, "", id="ready"),
        pytest.param(
            {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."},
            SlotPhase.FAILED,
            "Evicted: The node was low on resource: memory.",
            id="evicted",
        ),
    ],
)
def test_phase_and_reason(status: Manifest, phase: SlotPhase, reason: str) -> None:
    seen = seen_pod(made(status))
    assert (seen.phase, seen.reason) == (phase, reason)
    assert seen.ready is (phase is SlotPhase.READY)
    assert seen.ended is (status["phase"] == "Failed")
    assert seen.unschedulable is (phase is SlotPhase.PENDING)


def test_a_pod_being_deleted_drains_until_its_time_is_over() -> None:
    seen = seen_pod(made(ready_status(), deletionTimestamp="1970-01-01T00:02:00Z"))
    assert (seen.phase, seen.deleted_at, seen.node_lost) == (SlotPhase.DRAINING, 120_000, False)


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_pod_that_was_told_to_go_and_has_ended_is_no_failure(phase: str) -> None:
    ended = {"terminated": {"reason": "Completed", "exitCode": 0}}
    going = made({**container(ended), "phase": phase}, deletionTimestamp="1970-01-01T00:01:00Z")
    assert (seen_pod(going).phase, seen_pod(going).reason) == (SlotPhase.DRAINING, "")


def test_a_pod_deleted_for_its_nodes_sake_says_so() -> None:
    evicted = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "DeletionByTaintManager",
        "message": "Taint manager: deleting due to NoExecute taint",
    }
    status = {"phase": "Running", "conditions": [SCHEDULED, UNREADY, evicted]}
    seen = seen_pod(made(status, deletionTimestamp="1970-01-01T00:02:00Z"))
    assert (seen.node_lost, seen.unready_since) == (True, 60_000)
    assert seen.reason.startswith("DeletionByTaintManager: ")


def test_a_slot_knows_its_pod_node_and_restarts() -> None:
    observed = seen_pod(made(container({"running": {}}, restartCount=4))).observed()
    assert (observed.slot, observed.pod, observed.node, observed.restarts, observed.tier) == (
        "studio-primary-0",
        "studio-primary-0",
        "node-1",
        4,
        "primary",
    )


def test_a_very_long_reason_is_cut() -> None:
    assert len(seen_pod(made(container({"waiting": {"reason": "X", "message": "y" * 9000}}))).reason) == 400
