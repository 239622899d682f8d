"""The cluster that the scenarios run on, what is installed there, and how long each scenario took.

`E2E_KUBECONFIG` names a cluster of the user's own; without it the one of `tests/cluster` is used, or started and ended again.
`E2E_KEEP=1` leaves up what was started, `E2E_LONG=1` runs the scenarios three times.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config

from cluster import Cluster, ClusterError
from cluster.helm import Helm
from cluster.images import PARTS, REPOSITORY, SERVICES, ImageStore
from cluster.kubectl import Kubectl
from cluster.layout import Layout
from cluster.machine import run
from cluster.progress import Report, timed_report
from support.front_door import front_door_secret, front_door_values
from support.installation import DEFINITION, Installation, prepared
from support.kube_api import KubeApi
from support.prometheus import NAMESPACE, URL, prometheus
from support.rota import Rota, rota_pool
from support.scenario_report import ScenarioReport
from support.waiting import block_until

OWN_CLUSTER = "E2E_KUBECONFIG"
KEEP = "E2E_KEEP"
LONG = "E2E_LONG"
ROUNDS = 3
SHARED = "e2e-shared"
BEGAN = datetime.now(UTC)


def pytest_configure(config: pytest.Config) -> None:
    """Budgets, figures, and reports of failures."""
    config.pluginmanager.register(ScenarioReport(), "scenarios")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """With E2E_LONG, all scenarios three times, one round after the other, but for those that can only be once."""
    if os.environ.get(LONG) and not any(map(metafunc.definition.get_closest_marker, ("in_the_end", "once"))):
        metafunc.fixturenames.append("e2e_round")
        metafunc.parametrize("e2e_round", range(ROUNDS), scope="session", ids=lambda number: f"round {number + 1}")


@pytest.fixture(scope="session")
def scenarios(pytestconfig: pytest.Config) -> ScenarioReport:
    """Takes figures of what all scenarios share."""
    plugin = pytestconfig.pluginmanager.get_plugin("scenarios")
    assert isinstance(plugin, ScenarioReport)
    return plugin


@pytest.fixture
def describing(scenarios: ScenarioReport, request: pytest.FixtureRequest) -> Callable[[Callable[[], str]], None]:
    """Takes what describes the scenario's objects, for the report if it fails."""
    return lambda describe: scenarios.describe(request.node, describe)


@pytest.fixture(scope="session")
def run_began() -> datetime:
    """When this run of scenarios began."""
    return BEGAN


@pytest.fixture(scope="session")
def own_cluster() -> Path | None:
    """The kubeconfig of the user's own cluster; None when the scenarios run on ours."""
    chosen = os.environ.get(OWN_CLUSTER)
    if chosen and not Path(chosen).is_file():
        pytest.exit(f"e2e: {OWN_CLUSTER} names {chosen}, and there is no such file", returncode=1)
    return Path(chosen) if chosen else None


@pytest.fixture(scope="session")
def report(pytestconfig: pytest.Config) -> Report:
    """Tells what is being got ready, at once: it takes minutes."""
    line_of = timed_report()
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")

    def tell(line: str) -> None:
        with capture.global_and_fixture_disabled():
            line_of(line)

    return tell


@pytest.fixture(scope="session")
def test_cluster(own_cluster: Path | None, report: Report, scenarios: ScenarioReport) -> Iterator[Cluster | None]:
    """The cluster of tests/cluster, up; None with a cluster of the user's own. One that was up before stays up."""
    if own_cluster:
        yield None
        return
    layout = Layout.default()
    scenarios.layout = layout
    try:
        try:
            started, cluster = False, Cluster.attach(layout)
        except ClusterError:
            with scenarios.preparing("the cluster, and its programs if they were not built"):
                started, cluster = True, Cluster.up(layout, report)
    except ClusterError as error:
        pytest.exit(f"e2e: {error}; or let {OWN_CLUSTER} name a cluster of your own", returncode=1)
    yield cluster
    if started and not os.environ.get(KEEP):
        Cluster.down(layout, report)


@pytest.fixture(scope="session")
def cluster(test_cluster: Cluster | None) -> Cluster:
    """The cluster of tests/cluster, for scenarios that reach below Kubernetes: kill a kubelet, start a GPU."""
    if test_cluster is None:
        pytest.skip(f"needs the machines of our own cluster, and {OWN_CLUSTER} is set")
    return test_cluster


@pytest.fixture(scope="session")
def kubeconfig(test_cluster: Cluster | None, own_cluster: Path | None) -> Path:
    """Of the cluster that the scenarios run on, with all rights."""
    if test_cluster is not None:
        return test_cluster.layout.kubeconfig
    assert own_cluster
    return own_cluster


@pytest.fixture(scope="session")
def kubectl(test_cluster: Cluster | None, kubeconfig: Path) -> Kubectl:
    """kubectl for that cluster."""
    return Kubectl(_program("kubectl", test_cluster), kubeconfig)


@pytest.fixture(scope="session")
def helm(test_cluster: Cluster | None, kubeconfig: Path) -> Helm:
    """Helm for that cluster."""
    return Helm(_program("helm", test_cluster), kubeconfig)


def _program(name: str, cluster: Cluster | None) -> Path:
    found = cluster.programs[name] if cluster else shutil.which(name)
    if found is None:
        pytest.exit(f"e2e: no {name} on PATH, which a cluster of your own needs", returncode=1)
    return Path(found)


@pytest.fixture(scope="session")
def kube(kubeconfig: Path) -> client.ApiClient:
    """A client of that cluster, with all rights."""
    made: client.ApiClient = config.new_client_from_config(str(kubeconfig))
    return made


@pytest.fixture(scope="module")
def definition(kube: client.ApiClient) -> Iterator[None]:
    """What a ModelPool is, where nothing else of ours is needed. One that the chart has installed stays."""
    api = KubeApi(kube)
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    ours = yaml.safe_load((REPOSITORY / "crds" / "modelpools.yaml").read_text())

    def found() -> dict[str, Any] | None:
        items = api.call("GET", definitions)["items"]
        return next((item for item in items if item["metadata"]["name"] == DEFINITION), None)

    def established() -> bool:
        conditions = (found() or {}).get("status", {}).get("conditions") or ()
        return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)

    there = found() is not None
    if not there:
        api.call("POST", definitions, ours)
    block_until(established, 60, what="the definition is established")
    yield
    if not there:
        api.call("DELETE", f"{definitions}/{DEFINITION}")
        block_until(lambda: found() is None, 60, what="the definition is gone")


@pytest.fixture(scope="session")
def image_store(test_cluster: Cluster | None, report: Report) -> ImageStore | None:
    """Where images are built; None with a cluster of the user's own, which has to have them."""
    return ImageStore(test_cluster.layout.cache, report) if test_cluster else None


@pytest.fixture(scope="session")
def images(
    test_cluster: Cluster | None,
    image_store: ImageStore | None,
    service_images: dict[str, str],
    scenarios: ScenarioReport,
) -> dict[str, str]:
    """Operator, API, worker and each service → the image that it runs: ours are built from this checkout, and are on both nodes.

    On a cluster of the user's own the same names are expected to be there, or to be pulled.
    """
    version = metadata.version("modelpool")
    if test_cluster is None or image_store is None:
        return service_images | {part: f"modelpool/{part}:{version}" for part in PARTS}
    revision = _revision()
    made = {}
    for part in PARTS:
        with scenarios.preparing(f"image of {part} built and on both nodes"):
            made[part] = _on_nodes(test_cluster, image_store, image_store.build_part(part, version, revision))
        scenarios.note(f"size of the image of {part}", f"{image_store.size(made[part]) / 1e6:.0f} MB")
    return service_images | made


def _revision() -> str:
    """Of the checkout, also of one that belongs to somebody else; unknown where there is none."""
    try:
        return run("git", "-c", f"safe.directory={REPOSITORY}", "-C", REPOSITORY, "rev-parse", "HEAD").strip()
    except ClusterError:
        return "unknown"


@pytest.fixture(scope="session")
def service_images(
    test_cluster: Cluster | None, image_store: ImageStore | None, scenarios: ScenarioReport
) -> dict[str, str]:
    """Redis and nginx → an image of it, made from Debian's packages, on both nodes."""
    if test_cluster is None or image_store is None:
        return {service: f"modelpool-test/{service}:1" for service in SERVICES}
    with scenarios.preparing("images of Redis and nginx built and on both nodes"):
        return {name: _on_nodes(test_cluster, image_store, image_store.build_service(name)) for name in SERVICES}


def _on_nodes(cluster: Cluster, store: ImageStore, tag: str) -> str:
    image = store.find(tag)
    for node in cluster.nodes.values():
        node.bring(image)
    return tag


@pytest.fixture(scope="session")
def prometheus_url(kubectl: Kubectl, test_cluster: Cluster | None) -> Iterator[str]:
    """The URL, inside the cluster, of a Prometheus that scrapes operator, API and workers; `kubectl scale` takes it away."""
    kubectl.apply(*prometheus(test_cluster.load_prometheus() if test_cluster else "docker.io/prom/prometheus:v3.5.0"))
    kubectl("rollout", "status", "deployment/prometheus", f"--namespace={NAMESPACE}", "--timeout=180s", seconds=200)
    yield URL
    if not os.environ.get(KEEP):
        kubectl.delete("clusterrolebinding", "prometheus")
        kubectl.delete("clusterrole", "prometheus")
        kubectl.delete("namespace", NAMESPACE, seconds=300)


@pytest.fixture(scope="session")
def shared(
    helm: Helm, kubectl: Kubectl, images: dict[str, str], prometheus_url: str, scenarios: ScenarioReport
) -> Iterator[Installation]:
    """The chart, installed once for all scenarios of a running service, in a namespace that insists on the restricted level."""
    values = {"operator": {"prometheusUrl": prometheus_url}, "api": front_door_values()}
    with prepared(kubectl, helm, images, SHARED, values, keep=bool(os.environ.get(KEEP))) as made:
        kubectl.apply(front_door_secret(), namespace=SHARED)
        with scenarios.preparing("the shared installation"):
            made.be_there()
        yield made


@pytest.fixture(scope="session")
def shared_url(shared: Installation, test_cluster: Cluster | None) -> Iterator[str]:
    """Where its API answers."""
    with shared.api(from_here=test_cluster is not None) as url:
        yield url


@pytest.fixture
def rota(
    shared: Installation, shared_url: str, kube: client.ApiClient, describing: Callable[[Callable[[], str]], None]
) -> Rota:
    """A small pool of simulated models, as it always is at the beginning of a scenario: served, and at rest."""
    describing(shared.describe)
    made = Rota(shared, KubeApi(kube), shared_url)
    made.apply(rota_pool())
    made.until_served()
    return made


@pytest.fixture
def namespace(kubectl: Kubectl, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of the scenario's own, empty; all in it is deleted afterwards."""
    words = request.node.originalname.removeprefix("test_").replace("_", "-")
    name = f"e2e-{words[:40].strip('-')}"
    kubectl("create", "namespace", name)
    # Pods may start only when this is there, and it comes a moment later.
    kubectl("wait", "--for=create", "serviceaccount/default", f"--namespace={name}", "--timeout=60s")
    yield name
    kubectl.delete("namespace", name, seconds=300)
