"""The operator may die at any moment, or be there twice: workers, models and jobs do not notice."""

import time
from collections.abc import Callable

import pytest

from cluster import Cluster
from cluster.kubectl import Object, holds
from support.lookout import Lookout
from support.rota import SECONDARY, SLOTS, Rota, notes

Record = Callable[[str, object], None]
LIVES = 20
OPERATOR = "app.kubernetes.io/component=operator"


def operators(rota: Rota) -> list[Object]:
    """Its pods, without those that are on their way out."""
    path = f"/api/v1/namespaces/{rota.service.namespace}/pods"
    found = rota.kube.items(path, labelSelector=OPERATOR)
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


def running(pod: Object) -> str:
    """The container that runs in it; empty while none does."""
    status: Object = next(iter(pod["status"].get("containerStatuses") or ()), {})
    return str(status["containerID"].removeprefix("containerd://")) if "running" in status.get("state", {}) else ""


def until_one_runs(rota: Rota, *, ready: bool) -> Object:
    """Its pod, once its container runs or, with ``ready``, once it says that it keeps its pools."""
    what = f"an operator is {'ready' if ready else 'running'}"
    found = rota.until(
        what, lambda: [pod for pod in operators(rota) if running(pod) and (holds(pod, "Ready") or not ready)]
    )
    return found[0]


@pytest.mark.budget(120)
def test_an_operator_that_is_killed_twenty_times_costs_no_pod_no_model_and_no_job(
    rota: Rota, cluster: Cluster, record_property: Record
) -> None:
    rota.made("red")
    before, told, epoch, started = rota.lives(), rota.events(), rota.look()["status"]["epoch"], time.monotonic()
    with rota.traffic("base", "red") as visitors, Lookout(rota) as lookout:
        for life in range(LIVES):
            # By turns as soon as it runs, and once it says that it keeps its pools.
            pod = until_one_runs(rota, ready=life % 2 == 0)
            cluster.nodes[pod["spec"]["nodeName"]].ctr("tasks", "kill", "--signal", "SIGKILL", running(pod))
            # Its pod goes too: one whose container ends so often is kept waiting.
            path = f"/api/v1/namespaces/{rota.service.namespace}/pods/{pod['metadata']['name']}"
            rota.kube.call("DELETE", path, gracePeriodSeconds="0")
        rota.until("the last operator is in charge", lambda: rota.look()["status"]["epoch"] > epoch)
        rota.until_served()
        record_property("twenty lives, s", round(time.monotonic() - started, 1))
        visitors.flows()
    outcome = visitors.outcome()
    record_property("traffic", str(outcome))

    assert (outcome.lost, outcome.refused) == ([], [])
    assert rota.lives() == before, "no worker was restarted"
    assert lookout.fewest_ready(*SLOTS) == len(SLOTS)
    assert [note for note in notes(rota.events(told)) if ": unload" in note] == []
    assert rota.slot(SECONDARY)["hot"] == ["red"]


@pytest.mark.budget(60)
def test_two_operators_at_once_do_no_harm(rota: Rota, record_property: Record) -> None:
    rota.made("red")
    before, told, epoch = rota.lives(), rota.events(), rota.look()["status"]["epoch"]
    scale = ("scale", "deployment/modelpool-operator", f"--namespace={rota.service.namespace}")
    with rota.traffic("base", "red") as visitors:
        rota.service.kubectl(*scale, "--replicas=2")
        try:
            rota.until("both run", lambda: sum(bool(running(pod)) for pod in operators(rota)) == 2)
            rota.until(
                "one has taken over from the other, which ended and came back, more than once",
                lambda: rota.look()["status"]["epoch"] >= epoch + 3,
            )
        finally:
            rota.service.kubectl(*scale, "--replicas=1")
        rota.until("one is left, and ready", lambda: [holds(pod, "Ready") for pod in operators(rota)] == [True])
        rota.until_served()
        visitors.flows()
    outcome = visitors.outcome()
    record_property("epochs", rota.look()["status"]["epoch"] - epoch)
    assert (outcome.lost, outcome.refused) == ([], [])
    assert rota.lives() == before
    assert [note for note in notes(rota.events(told)) if ": unload" in note] == []
