"""The edge on a cluster: who comes from outside is known by their own address at the API, and by nobody else's."""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from cluster import Cluster
from cluster.helm import Helm
from cluster.kubectl import Kubectl
from cluster.layout import CONTROL_PLANE, NODES
from support.installation import RELEASE, Installation, installed_apart
from support.one_moment import Sent, at_one_moment
from support.reach import Python, until_answered, until_taken

NAMESPACE = "e2e-edge"
# An account is made once a day for each visitor, and visitors without cookies are their network: an address.
MAKE_ACCOUNT = """
import json, sys, urllib.error, urllib.request as web
url, headers = sys.argv[1], json.loads(sys.argv[2])
try:
    asks = web.build_opener(web.ProxyHandler({}))
    print(asks.open(web.Request(url, b"", headers, method="POST"), timeout=20).status)
except urllib.error.HTTPError as error:
    print(error.code, json.load(error)["error"]["code"])
"""
MADE, REFUSED = "201", "429 quota_exceeded"


@dataclass(frozen=True)
class Edge:
    """The edge of a release: where nodes' clients and pods reach it."""

    service: Installation
    outside: str
    """Address of the one node that it is on."""
    port: int

    @property
    def url(self) -> str:
        """For those outside the cluster."""
        return f"http://{self.outside}:{self.port}"

    @property
    def name(self) -> str:
        """For pods."""
        return f"{RELEASE}-edge.{NAMESPACE}.svc"

    def api_pods(self) -> list[str]:
        """Pods that may ask it, too."""
        pods = self.service.kubectl.list("pods", NAMESPACE, {"app.kubernetes.io/component": "api"})
        return [pod["metadata"]["name"] for pod in pods]

    def in_pod(self, pod: str) -> Python:
        """Python in a pod of the API."""
        return lambda *program: self.service.kubectl.execute(
            pod, NAMESPACE, "/opt/modelpool/bin/python", "-c", *program
        )


@pytest.fixture(scope="module")
def installation(helm: Helm, kubectl: Kubectl, images: dict[str, str], cluster: Cluster) -> Iterator[Installation]:
    """The chart with an edge on the first node, in a namespace that insists on the restricted level; no pool."""
    edge = {
        "enabled": True,
        "replicas": 1,
        "podNetworks": [str(cluster.addresses.pods)],
        "service": {"type": "NodePort"},
        "nodeSelector": {"kubernetes.io/hostname": NODES[0]},
    }
    with installed_apart(kubectl, helm, images, NAMESPACE, {"edge": edge}) as made:
        yield made


@pytest.fixture
def edge(installation: Installation, cluster: Cluster, describing: Callable[[Callable[[], str]], None]) -> Edge:
    """The edge, as soon as everybody here reaches it, and it the API."""
    describing(installation.describe)
    (port,) = installation.kubectl.get("service", f"{RELEASE}-edge", NAMESPACE)["spec"]["ports"]
    made = Edge(installation, cluster.addresses.machine(NODES[0]), port["nodePort"])
    until_answered(f"{made.url}/v1/models", on(cluster, CONTROL_PLANE))
    for pod in made.api_pods():
        until_taken(made.name, port["port"], made.in_pod(pod))
    return made


def on(cluster: Cluster, client: str) -> Python:
    """Python on a node or the control plane."""
    machine = cluster.nodes[client].machine if client in cluster.nodes else cluster.control_plane.machine
    return lambda *program: machine.run(sys.executable, "-I", "-c", *program)


def account(python: Python, url: str, headers: dict[str, str] | None = None) -> str:
    """What somebody there hears who asks for an account."""
    return python(MAKE_ACCOUNT, f"{url}/v1/accounts", json.dumps(headers or {})).strip()


@pytest.mark.budget(30)
def test_clients_from_outside_keep_their_addresses_and_cannot_claim_others(edge: Edge, cluster: Cluster) -> None:
    forged = {"X-Forwarded-For": "203.0.113.9"}
    one, other = on(cluster, CONTROL_PLANE), on(cluster, NODES[1])
    assert account(one, edge.url) == MADE
    assert account(one, edge.url) == REFUSED
    assert account(one, edge.url, forged) == REFUSED
    assert account(other, edge.url, forged) == MADE
    assert account(other, edge.url) == REFUSED


@pytest.mark.budget(30)
def test_pods_are_known_by_their_own_addresses_too(edge: Edge) -> None:
    pods = [edge.in_pod(pod) for pod in edge.api_pods()]
    assert len(pods) == 2
    url = f"http://{edge.name}"
    assert [account(pod, url) for pod in pods] == [MADE, MADE]
    assert [account(pod, url) for pod in pods] == [REFUSED, REFUSED]


@pytest.mark.budget(20)
def test_a_flood_from_one_address_ends_at_the_edge_and_its_log_names_nobody(
    edge: Edge, cluster: Cluster, kubectl: Kubectl
) -> None:
    body = json.dumps({"model": "absent", "prompt": "a red circle"}).encode()
    request = Sent("POST", "/v1/jobs", {"Content-Type": "application/json"}, body)
    answers = asyncio.run(at_one_moment(edge.port, [request] * 20, edge.outside))
    counted = Counter(answer.status for answer in answers)
    assert counted[404] in (6, 7), "there is no pool, so what gets through finds no model"
    assert counted[429] == 20 - counted[404]

    (pod,) = kubectl.list("pods", NAMESPACE, {"app.kubernetes.io/component": "edge"})
    lines = [json.loads(line) for line in kubectl.logs(pod["metadata"]["name"], NAMESPACE).splitlines()]
    assert Counter(line["limit"] for line in lines)["REJECTED"] >= counted[429]
    assert cluster.addresses.host not in json.dumps(lines)
