"""The chart as Kubernetes takes it, without any image of ours: what is made, what an upgrade keeps, what is left at the end."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cluster.helm import Helm
from cluster.kubectl import Kubectl
from support.rights import rights
from support.waiting import block_until

CHART = Path(__file__).parents[2] / "charts" / "modelpool"
DEFINITION = "modelpools.modelpool.dev"
NAMESPACE = "e2e-chart"
# No image of this name is anywhere: the pods are admitted, and stay without containers.
IMAGE = {"repository": "none.invalid/none", "tag": "1", "pullPolicy": "Never"}
VALUES: dict[str, Any] = {"images": dict.fromkeys(("operator", "api", "redis", "store"), IMAGE)}


@dataclass(frozen=True)
class Release:
    """The chart, installed as ``chart``."""

    helm: Helm
    kubectl: Kubectl
    values: dict[str, Any]

    def upgrade(self, more: dict[str, Any]) -> str:
        """Install or upgrade, without waiting for pods that cannot start."""
        command = ("upgrade", "--install", "chart", CHART, f"--namespace={NAMESPACE}", "--values=-")
        return self.helm(*command, stdin=json.dumps({**self.values, **more}))

    def secrets(self) -> Any:
        return self.kubectl.get("secret", "chart-urls", NAMESPACE)["data"]


@pytest.fixture(scope="module")
def release(helm: Helm, kubectl: Kubectl) -> Iterator[Release]:
    """In a namespace that insists on the restricted level. A definition that is there already stays."""
    there = kubectl.find("customresourcedefinition", DEFINITION) is not None
    kubectl("create", "namespace", NAMESPACE)
    kubectl("label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted")
    made = Release(helm, kubectl, {**VALUES, "crds": {"install": not there}})
    try:
        made.upgrade({})
        yield made
    finally:
        helm.uninstall("chart", NAMESPACE)
        kubectl.delete("namespace", NAMESPACE, seconds=300)
        if not there:
            kubectl.delete("customresourcedefinition", DEFINITION)


def parts(kubectl: Kubectl) -> list[str]:
    """The component of each pod."""
    return sorted(pod["metadata"]["labels"]["app.kubernetes.io/component"] for pod in kubectl.list("pods", NAMESPACE))


@pytest.mark.budget(30)
def test_every_pod_is_admitted_where_the_restricted_level_is_enforced(release: Release) -> None:
    block_until(lambda: parts(release.kubectl) == ["api", "api", "operator", "redis", "store"], timeout=60)
    reasons = {event["reason"] for event in release.kubectl.list("events", NAMESPACE)}
    assert "FailedCreate" not in reasons


@pytest.mark.budget(20)
def test_an_upgrade_keeps_passwords(release: Release) -> None:
    before = release.secrets()
    assert set(before) == {"adminToken", "redisPassword", "redisUrl", "storeUrl", "subjectSecret"}
    release.upgrade({"api": {"replicas": 1}})
    assert release.secrets() == before


@pytest.mark.budget(20)
def test_the_operator_may_do_what_it_has_to_and_nothing_else(release: Release) -> None:
    everybody = rights(release.kubectl, f"{NAMESPACE}:default", "default")
    operator = rights(release.kubectl, f"{NAMESPACE}:chart-operator", "default")
    may = {resource: verbs for resource, verbs in operator.items() if resource not in everybody}
    assert may == {
        "modelpools.modelpool.dev": {"list", "watch"},
        "modelpools/status.modelpool.dev": {"patch"},
        "pods.": {"get", "list", "watch", "create", "patch", "delete"},
        "secrets.": {"create", "patch"},
        "resourceclaimtemplates.resource.k8s.io": {"create"},
        "events.events.k8s.io": {"create"},
    }


@pytest.mark.budget(60)
def test_uninstalling_leaves_what_the_notes_say(release: Release) -> None:
    notes = release.helm("get", "notes", "chart", f"--namespace={NAMESPACE}")
    assert "helm uninstall leaves the CustomResourceDefinition, Redis' claim and your pools' objects behind" in notes
    release.helm.uninstall("chart", NAMESPACE)
    kinds = (
        "deployments,statefulsets,services,configmaps,secrets,serviceaccounts,persistentvolumeclaims,roles,rolebindings"
    )
    mine = "--selector=app.kubernetes.io/instance=chart"

    def left() -> list[str]:
        return release.kubectl("get", kinds, f"--namespace={NAMESPACE}", mine, "--output=name").split()

    block_until(lambda: left() == ["persistentvolumeclaim/data-chart-redis-0"], timeout=60)
    assert release.kubectl("get", "clusterroles,clusterrolebindings", mine, "--output=name") == ""
    assert release.kubectl.find("customresourcedefinition", DEFINITION) is not None
