"""From an empty cluster to a picture and a video, a slot too many, and back to an empty cluster: the chart with our images."""

import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import yaml
from PIL import Image

from cluster import Cluster
from cluster.helm import Helm
from cluster.kubectl import Kubectl, Object, condition
from cluster.layout import NODES
from cluster.node import Node
from modelpool_cli.api import FINAL_STATES, Api, Job
from support.installation import CLAIM, RELEASE, Installation, in_one_line, prepared
from support.waiting import block_until

ROOT = Path(__file__).parents[2]
NAMESPACE = "e2e-studio"
HOST = "kubernetes.io/hostname"
POOL = "studio"
SLOTS = [
    *(f"studio-primary-{number}" for number in range(4)),
    "studio-secondary-0",
    "studio-secondary-1",
    "studio-video-0",
]
SECONDS = 240.0
POLL = 0.3

Record = Callable[[str, object], None]


def studio(**tiers: int) -> Object:
    """The example pool, which gives up a lost node soon; by name of a tier, how many slots it has instead."""
    pool: Object = yaml.safe_load((ROOT / "examples" / "studio.yaml").read_text())
    pool["spec"]["gpu"]["nodeLostSeconds"] = 10
    for tier in pool["spec"]["tiers"]:
        tier["slots"] = tiers.get(tier["name"], tier["slots"])
    return pool


@pytest.fixture(scope="module")
def installation(
    helm: Helm, kubectl: Kubectl, images: dict[str, str], test_cluster: Cluster | None
) -> Iterator[Installation]:
    """The chart is not installed; its namespace is there, with nothing in it."""
    values: dict[str, Any] = {}
    if test_cluster is not None:  # the other node is lost in a scenario, and ours are not to go with it
        values = {part: {"nodeSelector": {HOST: NODES[0]}} for part in ("operator", "api", "redis", "store")}
    with prepared(kubectl, helm, images, NAMESPACE, values) as made:
        yield made


@pytest.fixture
def service(installation: Installation, describing: Callable[[Callable[[], str]], None]) -> Installation:
    """The chart is installed, and the models are there."""
    installation.be_there(ROOT / "models")
    describing(installation.describe)
    return installation


@pytest.fixture
def api(service: Installation, test_cluster: Cluster | None) -> Iterator[Api]:
    """A client of the API's Service."""
    with service.api(from_here=test_cluster is not None) as url, Api(url) as client:
        yield client


@pytest.fixture
def second_node(cluster: Cluster) -> Iterator[Node]:
    """The node whose GPUs come and go; it has none before and after."""
    node = cluster.nodes[NODES[1]]
    node.stop_gpus()
    node.wait_for_gpus(0)
    yield node
    cluster.plug_in(node.name)
    node.wait_until_ready()
    node.stop_gpus()
    node.wait_for_gpus(0)


def until_served(service: Installation) -> Object:
    """The pool, when all of it is ready."""
    block_until(lambda: service.is_served(POOL), SECONDS, POLL)
    return service.pool(POOL)


def done(api: Api, **body: object) -> Job:
    """The job that this makes, when it has ended well."""
    job = api.submit(dict(body))
    while job["state"] not in FINAL_STATES:
        job = api.job(job["id"], wait=20)
    assert job["state"] == "succeeded", job
    return job


def slot(service: Installation, name: str) -> Object:
    """What the pool's status says of a slot; empty while it says nothing."""
    gpus: list[Object] = service.pool(POOL).get("status", {}).get("gpus", [])
    return next((gpu for gpu in gpus if gpu["slot"] == name), {})


@pytest.mark.budget(120)
def test_a_chart_and_a_pool_make_a_picture_and_a_video_on_seven_gpus(
    installation: Installation,
    service: Installation,
    api: Api,
    record_property: Record,
) -> None:
    started = time.monotonic()
    service.apply(studio())
    block_until(lambda: len(service.workers(POOL)) == len(SLOTS), SECONDS, 0.05)
    record_property("apply to seven pods created, s", round(time.monotonic() - started, 1))
    pool = until_served(service)
    record_property("apply to all slots ready, s", round(time.monotonic() - started, 1))

    gpus = pool["status"]["gpus"]
    assert [gpu["slot"] for gpu in gpus] == SLOTS
    assert all(gpu["uuid"] for gpu in gpus), in_one_line(pool)
    assert len({gpu["uuid"] for gpu in gpus}) == len(SLOTS), in_one_line(pool)
    assert [gpu["hot"] for gpu in gpus[:4]] == [["shapes-flat"]] * 4
    assert all(pod["status"]["containerStatuses"][0]["restartCount"] == 0 for pod in service.workers(POOL))

    job = done(api, model="shapes-flat", prompt="a red circle on the left on a blue background", seed=3)
    record_property("apply to first picture, s", round(time.monotonic() - started, 1))
    record_property("helm install to first picture, s", round(time.monotonic() - installation.began, 1))
    picture = Image.open(io.BytesIO(api.download(job["result"]["url"])))
    assert (picture.format, picture.size) == ("PNG", (64, 64))
    red, _, blue = np.moveaxis(np.asarray(picture.convert("RGB")).astype(int), 2, 0)
    circle = red > blue
    assert 0.02 < circle.mean() < 0.5, "a circle is red and covers a part of the blue"
    assert np.nonzero(circle)[1].mean() < 32, "it is on the left"

    film = done(api, model="shapes-motion", image={"job": job["id"]}, seed=1)
    record_property("video, s", round(film["durations"]["waited"] / 1000 + film["durations"]["ran"] / 1000, 1))
    with av.open(io.BytesIO(api.download(film["result"]["url"])), "r") as container:
        assert "mp4" in container.format.name
        frames = [frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0)]
    assert [frame.shape for frame in frames] == [(64, 64, 3)] * 8
    assert np.abs(frames[-1] - frames[0]).mean() > 1, "something moves"


@pytest.mark.budget(120)
def test_an_eighth_slot_waits_with_the_scheduler_s_reason_until_a_gpu_appears(
    service: Installation, second_node: Node, record_property: Record
) -> None:
    service.apply(studio())
    until_served(service)
    before = {pod["metadata"]["uid"] for pod in service.workers(POOL)}

    service.apply(studio(primary=5))
    block_until(
        lambda: "Insufficient nvidia.com/gpu" in slot(service, "studio-primary-4").get("reason", ""), SECONDS, POLL
    )
    assert slot(service, "studio-primary-4")["phase"] == "Pending"
    ready = block_until(lambda: refused(service.pool(POOL), "Ready"), SECONDS, POLL)
    assert ready is not None
    assert "studio-primary-4" in ready["message"]
    assert "Insufficient nvidia.com/gpu" in ready["message"]

    started = time.monotonic()
    second_node.start_gpus(1)
    pool = until_served(service)
    record_property("a GPU appears to its slot ready, s", round(time.monotonic() - started, 1))
    healed = slot(service, "studio-primary-4")
    assert (healed["node"], healed["phase"]) == ("node-2", "Ready")
    assert len({gpu["uuid"] for gpu in pool["status"]["gpus"]}) == 8, in_one_line(pool)
    assert before < {pod["metadata"]["uid"] for pod in service.workers(POOL)}, "the others run on"

    service.apply(studio())
    block_until(lambda: len(service.workers(POOL)) == len(SLOTS), SECONDS, POLL)
    assert before == {pod["metadata"]["uid"] for pod in service.workers(POOL)}, "it is the eighth that went"


@pytest.mark.budget(180)
def test_the_slot_of_a_lost_node_is_given_up_waits_with_the_reason_and_returns_with_the_node(
    service: Installation, cluster: Cluster, second_node: Node, record_property: Record
) -> None:
    second_node.start_gpus(1)
    service.apply(studio(primary=5))
    pool = until_served(service)
    (lost,) = (gpu["slot"] for gpu in pool["status"]["gpus"] if gpu["node"] == second_node.name)
    uids = {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in service.workers(POOL)}

    started = time.monotonic()
    cluster.unplug(second_node.name)

    def successor() -> bool:
        found = {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in service.workers(POOL)}
        return lost in found and found[lost] != uids[lost]

    block_until(successor, SECONDS, POLL)
    record_property("node lost to its slot's successor, s", round(time.monotonic() - started, 1))
    block_until(lambda: slot(service, lost).get("phase") == "Pending", SECONDS, POLL)
    assert "nodes are available" in block_until(lambda: slot(service, lost)["reason"], SECONDS, POLL)

    cluster.plug_in(second_node.name)
    pool = until_served(service)
    record_property("node lost to all served again, s", round(time.monotonic() - started, 1))
    now = {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in service.workers(POOL)}
    assert {name for name, uid in now.items() if uid != uids[name]} == {lost}, "the others run on"
    assert len({gpu["uuid"] for gpu in pool["status"]["gpus"]}) == 8, in_one_line(pool)


@pytest.mark.budget(120)
def test_a_deleted_pool_finishes_its_work_and_nothing_stays_but_what_the_notes_say(
    service: Installation, api: Api, kubectl: Kubectl, record_property: Record
) -> None:
    service.apply(studio())
    until_served(service)
    job = api.submit({"model": "shapes-flat", "prompt": "a green star", "steps": 50, "seed": "random"})
    block_until(lambda: api.job(job["id"])["state"] == "running", 30, 0.05)

    started = time.monotonic()
    kubectl.delete("modelpool", POOL, namespace=NAMESPACE)
    ended = api.job(job["id"], wait=20)
    assert ended["state"] == "succeeded", ended
    block_until(lambda: not service.workers(POOL), SECONDS, POLL)
    record_property("pool deleted to no pod left, s", round(time.monotonic() - started, 1))
    mine = f"--selector=modelpool.dev/pool={POOL}"
    kinds = "pods,secrets,resourceclaimtemplates"
    block_until(lambda: kubectl("get", kinds, f"--namespace={NAMESPACE}", mine, "--output=name") == "", 60, POLL)

    said = service.uninstall()
    assert "[CustomResourceDefinition] modelpools.modelpool.dev" in said or not service.brings_definition
    assert CLAIM in said
    kinds = "deployments,statefulsets,services,pods,configmaps,secrets,serviceaccounts,persistentvolumeclaims,roles,rolebindings"

    def left() -> list[str]:
        of_release = f"--selector=app.kubernetes.io/instance={RELEASE}"
        return sorted(kubectl("get", kinds, f"--namespace={NAMESPACE}", of_release, "--output=name").split())

    claims = [f"persistentvolumeclaim/data-{RELEASE}-redis-0", f"persistentvolumeclaim/{CLAIM}"]
    block_until(lambda: left() == claims, 120, POLL)


def refused(pool: Object, kind: str) -> Object | None:
    """The condition, when it does not hold."""
    found = condition(pool, kind)
    return found if found and found["status"] == "False" else None
