"""An operator for some namespaces only: it serves the pools there, and neither acts on nor may touch any other."""

from collections.abc import Callable, Iterator

import pytest
from kubernetes import client

from cluster import Cluster
from cluster.kubectl import Kubectl, Object
from support.installation import RELEASE, Installation, installed_apart
from support.kube_api import KubeApi
from support.rights import rights
from support.rota import Rota, rota_pool, simulated_model
from support.scaling import scaled_away

NAMESPACE = "e2e-apart"
OPERATOR = f"{RELEASE}-operator"


def small(name: str) -> Object:
    """A pool of one slot."""
    pool = rota_pool(name)
    pool["spec"]["tiers"] = [{"name": "only", "policy": "Always", "slots": 1, "models": [simulated_model("alone")]}]
    return pool


@pytest.fixture
def apart(
    shared: Installation,
    kube: client.ApiClient,
    describing: Callable[[Callable[[], str]], None],
    test_cluster: Cluster | None,
) -> Iterator[Rota]:
    """A release of its own whose operator is for its namespace; the one that is for all namespaces is away."""
    with (
        scaled_away(shared.kubectl, f"deployment/{OPERATOR}", shared.namespace),
        installed_apart(shared.kubectl, shared.helm, shared.images, NAMESPACE, {}) as made,
        made.api(from_here=test_cluster is not None) as url,
    ):
        describing(made.describe)
        yield Rota(made, KubeApi(kube), url, "apart")


@pytest.mark.budget(60)
def test_a_pool_of_its_namespace_is_served_and_one_elsewhere_is_not_looked_at(
    apart: Rota, kubectl: Kubectl, namespace: str
) -> None:
    kubectl.apply(small("elsewhere"), namespace=namespace)
    apart.apply(small("apart"))
    apart.until_served()
    assert apart.made("alone")["result"]["url"]
    assert "status" not in kubectl.get("modelpool", "elsewhere", namespace)
    assert kubectl.list("pods", namespace) == []

    account = f"{NAMESPACE}:{OPERATOR}"
    assert rights(kubectl, account, namespace) == rights(kubectl, f"{NAMESPACE}:default", namespace)
    assert {"create", "delete"} <= rights(kubectl, account, NAMESPACE)["pods."]
    kubectl.delete("modelpool", "elsewhere", namespace=namespace)
