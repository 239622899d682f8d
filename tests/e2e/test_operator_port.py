"""The operator's own port to Kubernetes, on a real API server: the same cases as the cluster in memory, and what that lacks."""

import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from kubernetes import client, config

from modelpool.resources.status import Condition, ModelPoolStatus
from modelpool_operator.cluster.api_server import ApiServer, access
from modelpool_operator.cluster.port import (
    MODEL_POOL,
    POD,
    ApiNotFound,
    ApiRefused,
    ApiUnavailable,
    Cluster,
    Kind,
)
from modelpool_operator.cluster.telling import document_of
from modelpool_operator.runtimes.pods.spec import Setting, pod_of
from modelpool_operator.workers import desired_slots
from support import unused_port
from support.cluster_contract import ClusterContract
from support.pool_specs import cluster_pool, pool_object

CONDITION = Condition(
    type="Ready", status="True", reason="Serving", message="All is well.", last_transition_time="2026-01-01T00:00:00Z"
)


@pytest_asyncio.fixture
async def api(kubeconfig: Path) -> AsyncIterator[Cluster]:
    made = ApiServer(await access(str(kubeconfig)))
    yield made
    await made.close()


@pytest.fixture
def namespace(kubeconfig: Path) -> Iterator[str]:
    """A new one, with the strictest level of Pod Security; it goes in the end."""
    core = client.CoreV1Api(config.new_client_from_config(str(kubeconfig)))
    name = f"operator-port-{uuid.uuid4().hex[:8]}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=name, labels=labels)))
    yield name
    core.delete_namespace(name)
    core.api_client.close()


class TestApiServer(ClusterContract):
    """The contract, on the real thing."""


@pytest.mark.usefixtures("definition")
async def test_the_status_of_a_pool_is_taken_whole_and_is_no_change_of_its_spec(api: Cluster, namespace: str) -> None:
    document = pool_object(worker={"device": "cpu"})
    document["metadata"]["namespace"] = namespace
    made = await api.create(MODEL_POOL, document)
    status = document_of(ModelPoolStatus(epoch=7, slots=3, conditions=(CONDITION,)))
    written = await api.patch(MODEL_POOL, namespace, "studio", {"status": status}, subresource="status")
    assert written["status"]["epoch"] == 7
    assert written["status"]["conditions"][0]["reason"] == "Serving"
    assert written["metadata"]["generation"] == made["metadata"]["generation"]


async def test_worker_pods_are_taken_at_the_strictest_level_of_pod_security(api: Cluster, namespace: str) -> None:
    pool = cluster_pool()
    pool = pool.model_copy(update={"metadata": pool.metadata.model_copy(update={"namespace": namespace})})
    setting = Setting("11111111-2222-4333-8444-555555555555", "modelpool/worker:1", "redis://r", "http://s")
    for slot in desired_slots(pool, 1).slots:
        await api.create(POD, pod_of(pool, slot, setting), dry_run=True)


async def test_what_the_api_server_will_not_have_is_refused_in_its_own_words(api: Cluster, namespace: str) -> None:
    pod = {"metadata": {"name": "x", "namespace": namespace}, "spec": {"containers": []}}
    with pytest.raises(ApiRefused, match=r"spec\.containers: Required value"):
        await api.create(POD, pod, dry_run=True)


async def test_a_kind_that_is_unknown_is_not_found(api: Cluster) -> None:
    with pytest.raises(ApiNotFound):
        await api.list(Kind("nobody.example/v1", "Nothing", "nothings"))


async def test_an_api_server_that_is_away_is_unavailable(tmp_path: Path) -> None:
    nowhere = tmp_path / "kubeconfig"
    server = f"https://127.0.0.1:{unused_port()}"
    nowhere.write_text(
        f"apiVersion: v1\nkind: Config\nclusters: [{{name: c, cluster: {{server: '{server}'}}}}]\n"
        "users: [{name: u, user: {token: t}}]\n"
        "contexts: [{name: x, context: {cluster: c, user: u}}]\ncurrent-context: x\n"
    )
    api = ApiServer(await access(str(nowhere)))
    try:
        with pytest.raises(ApiUnavailable, match=f"the API server at {server} cannot be reached"):
            await api.list(POD)
    finally:
        await api.close()
