"""The test cluster is a real one: what the other scenarios take for granted is shown here."""

import json
import re
from collections.abc import Iterator

import httpx
import pytest

from cluster import Cluster, ClusterError
from cluster.control_plane import API_SERVER
from cluster.kubectl import Kubectl, Object, condition, holds
from cluster.node import GPU_PLUGIN, KUBELET
from support.pods import pod, service
from support.waiting import block_until

GPUS = 7
SECONDS = 180.0
SERVE = 'mkdir -p /tmp/w; echo "$HOSTNAME" >/tmp/w/index.html; exec httpd -f -p 8080 -h /tmp/w'


def until_ready(kubectl: Kubectl, namespace: str, *names: str) -> None:
    """Wait until the pods are Ready."""
    pods = [f"pod/{name}" for name in names]
    kubectl("wait", "--for=condition=Ready", *pods, f"--namespace={namespace}", "--timeout=180s", seconds=200)


def devices(kubectl: Kubectl, namespace: str, name: str) -> str:
    """The GPUs that a pod was given, as it sees them."""
    return kubectl.logs(name, namespace).strip()


@pytest.fixture
def second_node_without_gpus(cluster: Cluster) -> Iterator[None]:
    """The second node has no GPUs before and after."""
    cluster.nodes["node-2"].stop_gpus()
    cluster.nodes["node-2"].wait_for_gpus(0)
    yield
    cluster.nodes["node-2"].stop_gpus()
    cluster.nodes["node-2"].wait_for_gpus(0)


@pytest.mark.budget(5)
def test_two_nodes_are_ready_and_the_first_has_seven_gpus(cluster: Cluster) -> None:
    nodes = {node["metadata"]["name"]: node for node in cluster.kubectl.list("nodes")}
    assert set(nodes) == {"node-1", "node-2"}
    assert all(holds(node, "Ready") for node in nodes.values())
    assert cluster.nodes["node-1"].gpus() == GPUS


@pytest.mark.budget(40)
def test_each_pod_gets_a_gpu_of_its_own_and_the_eighth_waits_for_the_second_node(
    cluster: Cluster, kubectl: Kubectl, namespace: str, second_node_without_gpus: None
) -> None:
    names = [f"gpu-{number}" for number in range(GPUS)]
    kubectl.apply(*(pod(name, gpus=1) for name in names), namespace=namespace)
    until_ready(kubectl, namespace, *names)
    ids = {devices(kubectl, namespace, name) for name in names}
    assert len(ids) == GPUS
    assert all(re.fullmatch(r"GPU-00000001-[0-9a-f-]{27}", device) for device in ids)

    kubectl.apply(pod("gpu-7", gpus=1), namespace=namespace)

    def unscheduled() -> Object | None:
        found = condition(kubectl.get("pod", "gpu-7", namespace), "PodScheduled")
        return found if found and found["status"] == "False" else None

    refusal = block_until(unscheduled, SECONDS, 0.2)
    assert refusal is not None
    assert "Insufficient nvidia.com/gpu" in refusal["message"]
    assert kubectl.get("pod", "gpu-7", namespace)["status"]["phase"] == "Pending"

    cluster.nodes["node-2"].start_gpus(1)
    until_ready(kubectl, namespace, "gpu-7")
    assert kubectl.get("pod", "gpu-7", namespace)["spec"]["nodeName"] == "node-2"
    assert devices(kubectl, namespace, "gpu-7").startswith("GPU-00000002-")


@pytest.mark.budget(20)
def test_names_and_services_work_from_pod_to_pod_across_nodes(
    kubectl: Kubectl, cluster: Cluster, namespace: str
) -> None:
    labels = {"app": "web"}
    webs = [pod(f"web-{node}", SERVE, node=node, labels=labels, port=8080) for node in cluster.nodes]
    kubectl.apply(*webs, service("web", labels, 8080), namespace=namespace)
    until_ready(kubectl, namespace, *(f"web-{node}" for node in cluster.nodes))
    for client in cluster.nodes:

        def answered(client: str = client) -> set[str]:
            fetch = f"for i in $(seq 20); do wget -qO- http://web.{namespace}.svc.cluster.local/; done; true"
            return set(kubectl.execute(f"web-{client}", namespace, "sh", "-c", fetch).split())

        block_until(lambda: answered() == {"web-node-1", "web-node-2"}, SECONDS)


@pytest.mark.budget(15)
def test_the_host_reaches_services_and_pods_reach_nothing_outside(
    kubectl: Kubectl, cluster: Cluster, namespace: str
) -> None:
    kubectl.apply(
        pod("web", SERVE, labels={"app": "web"}, port=8080), service("web", {"app": "web"}, 8080), namespace=namespace
    )
    until_ready(kubectl, namespace, "web")
    address = kubectl.get("service", "web", namespace)["spec"]["clusterIP"]
    block_until(lambda: _fetch(f"http://{address}/") == "web", SECONDS)
    with pytest.raises(ClusterError):
        kubectl.execute("web", namespace, "ping", "-c1", "-W2", "192.0.2.1")


def _fetch(url: str) -> str:
    try:
        return httpx.get(url, timeout=5, trust_env=False).text.strip()
    except httpx.HTTPError:
        return ""


@pytest.mark.budget(30)
def test_a_claim_gets_a_volume_that_any_user_may_write_and_both_nodes_see(
    kubectl: Kubectl, cluster: Cluster, namespace: str
) -> None:
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "shared"},
        "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
    }

    def user(name: str, node: str, script: str) -> Object:
        made = pod(name, script, node=node)
        made["spec"]["securityContext"] = {"runAsUser": 65532, "runAsNonRoot": True}
        made["spec"]["volumes"] = [{"name": "shared", "persistentVolumeClaim": {"claimName": "shared"}}]
        made["spec"]["containers"][0]["volumeMounts"] = [{"name": "shared", "mountPath": "/shared"}]
        return made

    kubectl.apply(claim, user("writer", "node-1", "echo kept >/shared/note"), namespace=namespace)
    block_until(lambda: kubectl.get("pod", "writer", namespace)["status"]["phase"] == "Succeeded", SECONDS, 0.2)
    kubectl.apply(user("reader", "node-2", "cat /shared/note"), namespace=namespace)
    block_until(lambda: kubectl.get("pod", "reader", namespace)["status"]["phase"] == "Succeeded", SECONDS, 0.2)
    assert kubectl.logs("reader", namespace).strip() == "kept"


@pytest.mark.budget(15)
def test_a_container_beyond_its_memory_limit_is_killed_by_the_kernel(kubectl: Kubectl, namespace: str) -> None:
    kubectl.apply(pod("glutton", "head -c 200m /dev/zero | tail", memory="32Mi"), namespace=namespace)

    def end() -> str | None:
        states: list[Object] = kubectl.get("pod", "glutton", namespace)["status"].get("containerStatuses", [])
        reasons: list[str] = [state["state"].get("terminated", {}).get("reason") for state in states]
        return reasons[0] if reasons else None

    assert block_until(end, SECONDS, 0.2) == "OOMKilled"


@pytest.mark.budget(40)
def test_gpus_come_back_when_the_kubelet_is_restarted_and_running_pods_keep_theirs(
    cluster: Cluster, kubectl: Kubectl, namespace: str
) -> None:
    kubectl.apply(pod("before", gpus=1), namespace=namespace)
    until_ready(kubectl, namespace, "before")
    container = kubectl.get("pod", "before", namespace)["status"]["containerStatuses"][0]["containerID"]
    machine = cluster.nodes["node-1"].machine
    log = machine.log(GPU_PLUGIN)
    registered = log.read_text().count("registered 7")

    machine.kill(KUBELET)
    machine.start_again(KUBELET)
    block_until(lambda: log.read_text().count("registered 7") == registered + 1, SECONDS)
    cluster.nodes["node-1"].wait_for_gpus(GPUS)
    kubectl.apply(pod("after", gpus=1, node="node-1"), namespace=namespace)
    until_ready(kubectl, namespace, "before", "after")

    status = kubectl.get("pod", "before", namespace)["status"]["containerStatuses"][0]
    assert (status["containerID"], status["restartCount"]) == (container, 0)
    assert devices(kubectl, namespace, "before") != devices(kubectl, namespace, "after")


@pytest.mark.budget(40)
def test_pods_run_on_while_the_api_server_is_dead_and_it_comes_back(
    cluster: Cluster, kubectl: Kubectl, namespace: str
) -> None:
    kubectl.apply(
        pod("web", SERVE, labels={"app": "web"}, port=8080), service("web", {"app": "web"}, 8080), namespace=namespace
    )
    until_ready(kubectl, namespace, "web")
    address = kubectl.get("service", "web", namespace)["spec"]["clusterIP"]
    block_until(lambda: _fetch(f"http://{address}/") == "web", SECONDS)
    control_plane = cluster.control_plane

    control_plane.machine.kill(API_SERVER)
    assert not kubectl.answers("/readyz")
    assert _fetch(f"http://{address}/") == "web"

    control_plane.machine.start_again(API_SERVER)
    control_plane.wait_until_ready()
    kubectl.apply(pod("later"), namespace=namespace)
    until_ready(kubectl, namespace, "web", "later")
    assert kubectl.get("pod", "web", namespace)["status"]["containerStatuses"][0]["restartCount"] == 0


@pytest.mark.budget(10)
def test_the_audit_log_tells_what_was_asked_and_what_was_denied(
    cluster: Cluster, kubectl: Kubectl, namespace: str
) -> None:
    nobody = f"system:serviceaccount:{namespace}:default"
    with pytest.raises(ClusterError, match="Forbidden"):
        kubectl("get", "secrets", f"--as={nobody}", f"--namespace={namespace}")

    def entries() -> list[Object]:
        lines = cluster.layout.audit_log.read_text().splitlines()
        return [json.loads(line) for line in lines if f'"{namespace}"' in line and line.endswith("}")]

    def told(verb: str, resource: str, code: int) -> bool:
        return any(
            entry["verb"] == verb
            and entry["objectRef"]["resource"] == resource
            and entry["responseStatus"]["code"] == code
            for entry in entries()
            if "responseStatus" in entry
        )

    block_until(lambda: told("create", "namespaces", 201), SECONDS)
    block_until(lambda: told("list", "secrets", 403), SECONDS)


@pytest.mark.budget(10)
def test_a_node_may_not_read_the_secrets_of_pods_that_are_elsewhere(
    cluster: Cluster, kubectl: Kubectl, namespace: str
) -> None:
    kubectl("create", "secret", "generic", "password", "--from-literal=word=hidden", f"--namespace={namespace}")
    node = Kubectl(kubectl.program, cluster.layout.certificates / "node-2.kubeconfig")
    with pytest.raises(ClusterError, match="no relationship found between node 'node-2' and this object"):
        node.get("secret", "password", namespace)
