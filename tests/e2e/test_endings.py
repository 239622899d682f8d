"""A pool that is deleted while there is no operator, an upgrade under traffic, and the end of the release."""

import copy
import time
from collections.abc import Callable

import pytest

from cluster.kubectl import Kubectl, Object
from support.installation import CLAIM, RELEASE, Installation
from support.rota import Rota, rota_pool, simulated_model

Record = Callable[[str, object], None]


def brief() -> Object:
    """A pool of one slot, beside the other one."""
    pool = rota_pool("brief")
    pool["spec"]["default"] = False
    pool["spec"]["tiers"] = [
        {"name": "only", "policy": "Always", "slots": 1, "models": [simulated_model("short-lived")]}
    ]
    return pool


@pytest.mark.budget(90)
def test_a_pool_deleted_while_there_is_no_operator_is_gone_at_once_and_forgotten_later(
    rota: Rota, kubectl: Kubectl, record_property: Record
) -> None:
    before, here = rota.lives(), f"--namespace={rota.service.namespace}"
    doomed = Rota(rota.service, rota.kube, rota.url, "brief")
    doomed.apply(brief())
    doomed.until_served()
    job = doomed.submit("brief/short-lived", steps=60)
    doomed.until("its job runs", lambda: doomed.job(job)["state"] == "running")
    kubectl("scale", "deployment/modelpool-operator", here, "--replicas=0")
    try:
        kubectl("wait", "--for=delete", "pod", here, "--selector=app.kubernetes.io/component=operator", "--timeout=60s")
        started = time.monotonic()
        kubectl("delete", "modelpool", "brief", here, "--timeout=20s")
        record_property("kubectl delete, s", round(time.monotonic() - started, 1))
        doomed.until("its pods are gone, and what belongs to it", lambda: not left_of(kubectl, rota, "brief"))
        record_property("deleted to nothing left, s", round(time.monotonic() - started, 1))
        assert doomed.job(job)["state"] == "succeeded", "its worker finished what it ran"
        rota.made("base")
    finally:
        kubectl("scale", "deployment/modelpool-operator", here, "--replicas=1")
    rota.until("no replica of the API offers its model", lambda: not any(rota.offers("short-lived")))
    rota.until_served()
    assert rota.lives() == before


def left_of(kubectl: Kubectl, rota: Rota, pool: str) -> list[str]:
    """What carries the pool's label."""
    selector = (f"--namespace={rota.service.namespace}", f"--selector=modelpool.dev/pool={pool}")
    return kubectl("get", "pods,secrets,resourceclaimtemplates", *selector, "--output=name").split()


@pytest.mark.budget(150)
def test_an_upgrade_of_every_part_under_traffic_loses_no_job_and_restarts_no_worker(
    rota: Rota, record_property: Record
) -> None:
    before, parts, started = rota.lives(), pods_of_parts(rota), time.monotonic()
    values = copy.deepcopy(dict(rota.service.values))
    for part in ("operator", "api", "redis", "store"):
        values.setdefault(part, {})["podAnnotations"] = {"upgraded": str(time.time_ns())}
    with rota.traffic("base", "red") as visitors:
        visitors.flows()
        rota.service.values = values
        rota.service.install()
        record_property("helm upgrade, s", round(time.monotonic() - started, 1))
        rota.until("all parts have new pods, and only those", lambda: not parts & pods_of_parts(rota))
        rota.until_served()
        visitors.flows()
    outcome = visitors.outcome()
    record_property("traffic", f"{outcome}, {outcome.asked_twice} asked twice")
    record_property("longest pause between results, s", round(outcome.longest_pause, 1))
    assert outcome.lost == []
    assert all(refusal.startswith("503") for refusal in outcome.refused), "while Redis changes places, the API says so"
    assert rota.lives() == before


def pods_of_parts(rota: Rota) -> set[str]:
    """Uids of all pods of the release."""
    path = f"/api/v1/namespaces/{rota.service.namespace}/pods"
    found = rota.kube.items(path, labelSelector=f"app.kubernetes.io/instance={RELEASE}")
    return {pod["metadata"]["uid"] for pod in found}


@pytest.mark.in_the_end
@pytest.mark.budget(90)
def test_an_uninstalled_release_leaves_what_its_notes_say_and_pools_that_can_be_deleted(
    rota: Rota, shared: Installation, kubectl: Kubectl
) -> None:
    notes = shared.helm("get", "notes", RELEASE, f"--namespace={shared.namespace}")
    assert (
        "helm uninstall leaves the CustomResourceDefinition, Redis' claim, the models' claim and your pools' objects"
        in notes
    )
    shared.uninstall()
    of_release = f"--selector=app.kubernetes.io/instance={RELEASE}"
    kinds = "deployments,statefulsets,services,pods,configmaps,secrets,serviceaccounts,persistentvolumeclaims,roles,rolebindings"

    def left() -> list[str]:
        return sorted(kubectl("get", kinds, f"--namespace={shared.namespace}", of_release, "--output=name").split())

    claims = [f"persistentvolumeclaim/data-{RELEASE}-redis-0", f"persistentvolumeclaim/{CLAIM}"]
    rota.until("the two claims are left of the release", lambda: left() == claims)
    assert kubectl("get", "clusterroles,clusterrolebindings", of_release, "--output=name") == ""
    assert rota.look()["spec"], "the pool is there, and with it its definition"

    kubectl("delete", "modelpool", rota.name, f"--namespace={shared.namespace}", "--timeout=20s")
    rota.until("its pods are gone, and what belongs to it", lambda: not left_of(kubectl, rota, rota.name))
